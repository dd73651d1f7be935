"""The ready file: tells whoever started the gateway, and its command line, where everything is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from gateway.control.refusal import StartError
from gateway.control.service import Service
from gateway.control.uri import scoring_path, swagger_path


def document(
    *,
    services: Iterable[Service],
    scoring_url: str,
    admin_url: str,
    metrics_url: str,
    ca_file: Path | None,
    admin_token_file: Path,
    pid: int,
) -> dict[str, object]:
    """What the file says. URLs have no trailing slash, paths are absolute."""
    return {
        "scoring_url": scoring_url,
        "admin_url": admin_url,
        "metrics_url": metrics_url,
        "portal_url": admin_url,
        "ca_file": str(ca_file.absolute()) if ca_file else None,
        "admin_token_file": str(admin_token_file.absolute()),
        "pid": pid,
        "services": {service.name: _service(service, scoring_url) for service in services},
    }


def write(path: Path, content: dict[str, object]) -> None:
    """Whole or not at all, readable by this user only. Raises StartError."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w") as file:  # noqa: PTH123 - a Path cannot open a descriptor
            json.dump(content, file, indent=2)
            file.write("\n")
        scratch.replace(path)
    except OSError as error:
        reason = f"{error.strerror}. Name another with --ready-file, or let this user write there"
        raise StartError(f"cannot write the ready file {path}: {reason}") from None


def _service(service: Service, scoring_url: str) -> dict[str, str | None]:
    swagger = swagger_path(service)
    return {
        "scoring_uri": scoring_url + scoring_path(service),
        "swagger_uri": None if swagger is None else scoring_url + swagger,
    }
