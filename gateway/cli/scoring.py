"""`scoregate score` and `scoregate status`: whether it works."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.connection import Call, on_gateway
from gateway.cli.outcome import CommandError, usage
from gateway.cli.output import rows
from gateway.cli.services import Name
from gateway.client import Webservice, operation


@on_gateway
def score(
    call: Call,
    name: Name,
    data: Annotated[
        str | None, typer.Option("--data", "-d", help="The document, or @FILE, or - for stdin.", show_default=False)
    ] = None,
    content_type: Annotated[str, typer.Option(help="Its media type.")] = "application/json",
) -> None:
    """Score one document, print the answer.

    With the key of the service, or a token where keys are off.
    """
    document = _document(data)
    answer = Webservice(call.workspace, name).run(document, content_type)
    if isinstance(answer, bytes):
        sys.stdout.buffer.write(answer)
        sys.stdout.flush()
    else:
        call.print(answer, lambda value: json.dumps(value, ensure_ascii=False))


@on_gateway
def status(
    call: Call,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The service; none: all.", show_default=False)
    ] = None,
) -> None:
    """Show the state of services and backends."""
    if name is not None:
        call.show(operation.get_status(call.address, name), lambda answer: _backends({name: answer}))
        return
    services = call.workspace.converse(operation.every_service(call.address))
    names = [service["name"] for service in services]
    call.print({each: call.workspace.call(operation.get_status(call.address, each)) for each in names}, _backends)


def _document(data: str | None) -> bytes:
    if data is None and sys.stdin.isatty():
        raise usage("No document: give --data '{\"data\": …}', --data @FILE, or pipe it in.")
    if data is None or data == "-":
        return sys.stdin.buffer.read()
    if not data.startswith("@"):
        return data.encode()
    try:
        return Path(data[1:]).read_bytes()
    except OSError as error:
        raise CommandError(f"{data[1:]} cannot be read: {error.strerror}.") from None


def _backends(answers: Mapping[str, Mapping[str, Any]]) -> str:
    lines = []
    for service, answer in answers.items():
        queue = (answer.get("queue") or {}).get("length")
        known = {"service": service, "state": answer.get("state"), "queue": queue}
        for deployment, live in (answer.get("deployments") or {}).items():
            split = {"deployment": deployment, "traffic": live.get("traffic")}
            for backend in live["backends"] or [{}]:
                seen = {"backend_state": backend.get("state"), **backend, "state": known["state"]}
                if backend.get("address"):
                    seen["url"] = f"{backend['url']} ({backend['address']})"
                lines.append(known | split | seen)
        if not answer.get("deployments"):
            lines.append(known)
    keys = ("service", "state", "queue", "deployment", "traffic", "url", "backend_state", "outstanding", "since")
    return rows(lines, keys)
