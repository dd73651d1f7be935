"""Which four ports the demo listens on, all on 127.0.0.1."""

from __future__ import annotations

import errno
import socket
from dataclasses import astuple, dataclass

from gateway.demo.error import DemoError

HOST = "127.0.0.1"
_ROLES = ("scoring", "admin", "metrics", "model server")
_LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Ports:
    """Port numbers by role; 0 means that the gateway takes a free one and tells it in its ready file."""

    scoring: int
    admin: int
    metrics: int
    model_server: int


def choose(base: int) -> Ports:
    """`base` and the three ports after it, all found free; 0: free ones. Raises DemoError that names the port."""
    if base == 0:
        return Ports(0, 0, 0, free_port())
    if not 1 <= base <= _LAST_PORT - 3:
        raise DemoError(f"--port-base {base}: give a number from 1 to {_LAST_PORT - 3}, or 0 for free ports")
    ports = Ports(base, base + 1, base + 2, base + 3)
    for role, port in zip(_ROLES, astuple(ports), strict=True):
        _check(role, port, base)
    return ports


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _check(role: str, port: int, base: int) -> None:
    with socket.socket() as probe:
        # Without it, connections of an earlier run that linger in TIME_WAIT would count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise DemoError(f"port {port} ({role}) on {HOST} {_reason(error)}; {_advice(base)}") from None


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "is taken"
    return f"cannot be opened: {error.strerror}"


def _advice(base: int) -> str:
    other = base + 1000 if 1024 <= base <= _LAST_PORT - 1003 else 9443
    return f'end what uses it, or move all four ports: make run ARGS="--port-base {other}" (0: any that are free)'
