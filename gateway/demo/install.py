"""Puts the real Azure ML model server into an environment of its own, and says how to start it.

It never enters Scoregate's environment: its packages are many, and part of its terms is Microsoft's (`licence`).
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from email.parser import HeaderParser
from pathlib import Path

from gateway.demo.child import Child
from gateway.demo.error import DemoError
from gateway.demo.ports import HOST
from gateway.demo.progress import Progress

PACKAGE = "azureml-inference-server-http"
PINS = Path(__file__).parent / "model-server.txt"
_STAMP = "scoregate-pins"
_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR")


def install(directory: Path, progress: Progress) -> Path:
    """The environment with the model server under `directory`, made unless a finished one is there.

    Raises DemoError with pip's reason when it cannot be installed; nothing half-made is left then.
    """
    environment = directory / "venv"
    stamp = environment / _STAMP
    if stamp.is_file() and stamp.read_text(encoding="ascii") == _fingerprint():
        progress.line(f"{PACKAGE} is already installed in {environment}")
        return environment
    progress.line(f"installing {PACKAGE} into {environment}, once")
    shutil.rmtree(environment, ignore_errors=True)
    try:
        _make(environment, directory / "install.log", progress)
    except BaseException:
        shutil.rmtree(environment, ignore_errors=True)
        raise
    stamp.write_text(_fingerprint(), encoding="ascii")
    return environment


def licence(environment: Path) -> str:
    """What the installed package says of its own terms, which contradict each other."""
    information = next(environment.glob("lib/python*/site-packages/azureml_inference_server_http-*.dist-info"))
    metadata = HeaderParser().parsestr((information / "METADATA").read_text(encoding="utf-8"))
    heading = next(information.rglob("LICENSE")).read_text(encoding="utf-8").strip().splitlines()[0]
    return (
        f"{PACKAGE} {metadata['Version']} is Microsoft's and no part of Scoregate; LICENSE file is headed {heading!r}, "
        f"metadata names {metadata['License']}"
    )


def command(environment: Path, port: int) -> list[str | Path]:
    """The model server's own application under its own gunicorn, on loopback.

    Its command `azmlinfsrv` binds 0.0.0.0 and takes no address, so gunicorn is called the way that command calls it.
    """
    return [
        environment / "bin" / "gunicorn",
        *("--bind", f"{HOST}:{port}", "--workers", "1", "--timeout", "300"),
        "--no-control-socket",  # it would be made under the home directory
        *("--access-logfile", "-"),
        "azureml_inference_server_http.server.entry:app",
    ]


def environ(service: str, entry_script: Path, app_root: Path, outer: Mapping[str, str]) -> dict[str, str]:
    """Environment variables of the model server: nothing of the caller's but paths and language, and no telemetry."""
    kept = {name: outer[name] for name in _KEPT_VARIABLES if name in outer}
    return kept | {
        "HOME": str(app_root),
        "AML_APP_ROOT": str(app_root),
        "AZUREML_ENTRY_SCRIPT": str(entry_script),
        "AML_APP_INSIGHTS_ENABLED": "false",
        "OTEL_SDK_DISABLED": "true",
        "SERVICE_NAME": service,
        "HTTP_X_MS_SERVER_VERSION": f"azmlinfsrv/{_version()}",
    }


def _version() -> str:
    pin = next(line for line in PINS.read_text(encoding="utf-8").splitlines() if line.startswith(f"{PACKAGE}=="))
    return pin.split("==")[1].split()[0]


def _fingerprint() -> str:
    return hashlib.sha256(PINS.read_bytes() + sys.version.encode()).hexdigest()


def _make(environment: Path, log: Path, progress: Progress) -> None:
    # pip of this interpreter can fill another environment; only without it is a pip of its own needed.
    borrowed = importlib.util.find_spec("pip") is not None
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", environment / "bin" / "python"]
    if not borrowed:
        pip = [environment / "bin" / "python", "-m", "pip"]
    with log.open("w", encoding="utf-8") as output:
        output.write(f"{PACKAGE} for Python {sys.version}\n")
    _execute([sys.executable, "-m", "venv", *(["--without-pip"] if borrowed else []), environment], log, progress)
    quiet = ("--quiet", "--no-input", "--disable-pip-version-check", "--retries", "1", "--timeout", "30")
    pinned = ("--require-hashes", "--only-binary", ":all:", "--requirement", PINS)
    _execute([*pip, "install", *quiet, *pinned], log, progress)


def _execute(command: Sequence[str | Path], log: Path, progress: Progress) -> None:
    child = Child("installation", command, log=log, environ=os.environ)
    try:
        while (status := child.wait(0.1)) is None:
            progress.waiting(f"installing {PACKAGE}")
    finally:
        child.stop(seconds=5)
    if status:
        raise DemoError(f"{PACKAGE} cannot be installed ({_reason(log)}); all of it: {log}")


def _reason(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines)[-1]
