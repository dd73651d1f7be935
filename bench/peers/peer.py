"""What a proxy of the comparison is, and what each is told: the same work."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from bench.machine import Cores

SERVICE = "diabetes"
KEY = "sk-bench-0123456789abcdefghijklmnopqrstuvwxyz"
"""About as long as a key that the gateway makes; LiteLLM wants its beginning."""
ORIGIN = "https://app.example.com"
DOCUMENT = json.dumps({"data": [[0.0199132141783263] * 10, [-0.044641636506989] * 10]}).encode()
"""Two rows of ten numbers, about 420 bytes."""
UNREACHED = 10_000_000
"""Requests a second that the rate limit allows: it is counted and never met."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a proxy is to be. `limit`: requests a second; `answer`: the path at the backend.

    `tokens`: opens with a token as well; `cors`: answers preflights. Lines of a scenario
    whose settings are equal are measured on the same server; `instance` tells servers apart that are set up alike.
    """

    backend_port: int
    certificates: Path
    cores: Cores
    tls: bool = False
    workers: int = 1
    services: int = 1
    limit: int = UNREACHED
    answer: str = "/score"
    tokens: bool = False
    instance: int = 0
    cors: bool = False

    @property
    def certificate(self) -> Path:
        """PEM."""
        return self.certificates / "server.crt"

    @property
    def private_key(self) -> Path:
        """PEM."""
        return self.certificates / "server.key"


@dataclass(frozen=True, slots=True)
class Running:
    """A proxy that accepts on 127.0.0.1. `pid`: the root of its processes; `path`: of the scored service."""

    name: str
    port: int
    pid: int
    tls: bool
    path: str = f"/api/v1/service/{SERVICE}/score"
    token: str = ""

    @property
    def url(self) -> str:
        """Where to score."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}{self.path}"


@dataclass(frozen=True, slots=True)
class Peer:
    """One kind of proxy.

    `obtain` makes it available, downloading if it must, and says what to do where that fails; None when it is there.
    `work`: what it does with a request, for the report; `document`: what is scored; `connections`: that ask.
    """

    name: str
    work: str
    obtain: Callable[[], str | None]
    version: Callable[[], str]
    start: Callable[[Setting, Path], AbstractContextManager[Running]]
    document: bytes = DOCUMENT
    connections: int = 64


def binary(name: str) -> str | None:
    """Path of a program, also where only root's PATH leads."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")


def packaged(name: str, package: str) -> Callable[[], str | None]:
    """An `obtain` for a program that comes in a Debian package."""
    return lambda: None if binary(name) else f"{name} is not installed. Debian: apt-get install {package}"


def first_line(command: Sequence[str | Path]) -> str:
    """The first line that a command prints, on either output: most say their version there."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout.strip().partition("\n")[0]
