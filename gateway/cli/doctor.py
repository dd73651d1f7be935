"""`scoregate doctor`: what this machine has, and whether the gateway started here answers. One finding a line."""

from __future__ import annotations

import importlib.metadata
import platform
import resource
import socket
import ssl
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from gateway.cli.connection import READY_FILE
from gateway.cli.outcome import FAILED, OK
from gateway.client import ClientError, Workspace, operation

Level = Literal["ok", "note", "fail"]

PORTS = {"scoring": 8443, "admin": 8444, "metrics": 9464}
ENOUGH_DESCRIPTORS = 4096
_OLDEST_OPENSSL = (1, 1, 1)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line. `fail` is what keeps a gateway from working; `note` what a person may want to know."""

    level: Level
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.level:<5} {self.subject:<12} {self.text}"


def examine(
    directory: Annotated[Path, typer.Option(help="The data directory of the gateway.")] = READY_FILE.parent,
) -> int:
    """Check this machine and the gateway on it.

    Python, TLS, parser, ports, file permissions, whether the gateway started here answers. Exit code 1 if one fails.
    """
    findings = []
    for finding in _findings(directory):
        print(finding, flush=True)
        findings.append(finding)
    return FAILED if any(finding.level == "fail" for finding in findings) else OK


def _findings(directory: Path) -> Iterator[Finding]:
    yield python(sys.version_info[:3])
    yield openssl(ssl.OPENSSL_VERSION_INFO[:3], ssl.OPENSSL_VERSION)
    yield parser()
    yield event_loop()
    yield descriptors(resource.getrlimit(resource.RLIMIT_NOFILE)[1])  # `serve` takes all it may have
    gateway = running(directory / READY_FILE.name)
    yield from (port(name, number, in_use_is_fine=gateway.level == "ok") for name, number in PORTS.items())
    yield from permissions(directory)
    yield gateway


def python(version: tuple[int, ...]) -> Finding:
    """Python ≥ 3.11."""
    text = ".".join(map(str, version))
    if version >= (3, 11):
        return Finding("ok", "python", f"{platform.python_implementation()} {text}")
    return Finding("fail", "python", f"{text} is too old: install Python 3.11 or newer")


def openssl(version: tuple[int, ...], text: str) -> Finding:
    """An OpenSSL that speaks TLS 1.3."""
    if version >= _OLDEST_OPENSSL and ssl.HAS_TLSv1_3:
        return Finding("ok", "tls", text)
    return Finding("fail", "tls", f"{text} lacks TLS 1.3: use a Python built with OpenSSL 1.1.1 or newer")


def parser() -> Finding:
    """The C parser of the scoring path."""
    try:
        from httptools.parser import parser as compiled
    except ImportError as error:
        return Finding("fail", "parser", f"httptools cannot be loaded ({error}): install scoregate again from wheels")
    kind = "llhttp" if hasattr(compiled, "HttpRequestParser") else "unknown"
    return Finding("ok", "parser", f"httptools {importlib.metadata.version('httptools')} ({kind})")


def event_loop() -> Finding:
    """The event loop of the workers."""
    try:
        return Finding("ok", "event loop", f"uvloop {importlib.metadata.version('uvloop')}")
    except importlib.metadata.PackageNotFoundError:
        return Finding("note", "event loop", "uvloop is missing: workers cost about twice the CPU; install uvloop")


def descriptors(limit: int) -> Finding:
    """How many connections one process may hold."""
    if limit == resource.RLIM_INFINITY or limit >= ENOUGH_DESCRIPTORS:
        return Finding("ok", "descriptors", "no limit" if limit == resource.RLIM_INFINITY else f"{limit} a process")
    return Finding("note", "descriptors", f"{limit} a process: few for many clients; ulimit -n {ENOUGH_DESCRIPTORS}")


def port(name: str, number: int, *, in_use_is_fine: bool) -> Finding:
    """Whether a default port can be listened on."""
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind(("127.0.0.1", number))
        except OSError as error:
            if in_use_is_fine:
                return Finding("ok", f"port {number}", f"{name}: in use, a gateway runs here")
            return Finding("note", f"port {number}", f"{name}: not free ({error.strerror}); name another port")
    return Finding("ok", f"port {number}", f"{name}: free")


def permissions(directory: Path) -> Iterator[Finding]:
    """Whether what is secret in the data directory is kept from other users."""
    if not directory.exists():
        yield Finding("note", "data", f"{directory} does not exist yet: the first start makes it")
        return
    if directory.stat().st_mode & stat.S_IWOTH:
        yield Finding("fail", "data", f"every user may write {directory}: chmod o-w {directory}")
    open_files = [file for file in _secret_files(directory) if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]
    for file in open_files:
        yield Finding("fail", "data", f"other users may open {file}: chmod 600 {file}")
    if not open_files:
        yield Finding("ok", "data", f"the secrets in {directory} are its owner's alone")


def running(ready_file: Path) -> Finding:
    """Whether the gateway that wrote the ready file answers on its admin API."""
    if not ready_file.exists():
        return Finding("note", "gateway", f"none runs here (no {ready_file}): scoregate demo starts one")
    try:
        with Workspace.from_ready_file(ready_file) as workspace:
            services = workspace.converse(operation.every_service(workspace.address))
    except ClientError as error:
        return Finding("fail", "gateway", str(error))
    return Finding("ok", "gateway", f"{workspace.address.admin_url} answers, services: {len(services)}")


def _secret_files(directory: Path) -> list[Path]:
    named = [directory / "admin-token", directory / "master.key"]
    return [file for file in (*named, *sorted((directory / "tls").glob("*.key"))) if file.is_file()]
