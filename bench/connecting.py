"""Load by new connections: connect, shake hands, score once, close. Run as a program, it is the client that does so."""

from __future__ import annotations

import json
import socket
import ssl
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from bench import worker
from bench.load import Figures, Load
from bench.machine import Cores
from bench.peers.peer import Running
from bench.request import CLIENT, Request, head

THREADS = 8
LEAST_RESUMED = 0.99


@dataclass(frozen=True)
class Connecting(Load):
    """Figures: requests (one a connection), per_second, per_core (a second of CPU over the CPU time of one)."""

    request: Request
    resumes: bool = False

    def __call__(self, running: Running, cores: Cores, seconds: float) -> Figures:
        """Connect for `seconds`. Raises RuntimeError if a session that was to be resumed was not."""
        text = head(running, self.request, last=True) + self.request.body
        task = {
            "port": running.port,
            "tls": running.tls,
            "resumes": self.resumes,
            "seconds": seconds,
            "text": text.hex(),
        }
        told = worker.run("bench.connecting", task, cores)
        if self.resumes and told["resumed"] < LEAST_RESUMED * told["connections"]:
            raise RuntimeError(f"{running.name} resumed {told['resumed']} of {told['connections']} sessions")
        return {"requests": told["connections"], "per_second": told["connections"] / told["seconds"]}


def _connect(port: int, text: bytes, session: ssl.SSLSession | None, *, tls: bool) -> bool:
    """One connection to its end: whether it resumed the session."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    # Else the request after a resumed handshake waits for the acknowledgement of the handshake's end.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        if tls:
            connection = CLIENT.wrap_socket(connection, session=session)
        connection.sendall(text)
        if not connection.recv(65536).startswith(b"HTTP/1.1 200"):
            raise RuntimeError("a new connection was not answered with 200")
        resumed = isinstance(connection, ssl.SSLSocket) and bool(connection.session_reused)
        _say_goodbye(connection)
        return resumed
    finally:
        connection.close()


def _say_goodbye(connection: socket.socket) -> None:
    """A session whose connection ends without close_notify cannot be resumed."""
    if isinstance(connection, ssl.SSLSocket):
        with suppress(OSError):
            connection.unwrap()


def _loop(task: dict[str, Any]) -> tuple[int, int]:
    """(connections, of them resumed) of one thread."""
    text, tls = bytes.fromhex(task["text"]), task["tls"]
    session = None
    if task["resumes"]:
        with CLIENT.wrap_socket(socket.create_connection(("127.0.0.1", task["port"]), timeout=30)) as first:
            session = first.session
            _say_goodbye(first)
    connections = resumed = 0
    end = time.monotonic() + task["seconds"]
    while time.monotonic() < end:
        resumed += _connect(task["port"], text, session, tls=tls)
        connections += 1
    return connections, resumed


def main() -> None:
    """Read a task, connect, print what was done."""
    task = json.load(sys.stdin)
    started = time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        counts = list(pool.map(_loop, [task] * THREADS))
    connections, resumed = (sum(column) for column in zip(*counts, strict=True))
    json.dump({"connections": connections, "resumed": resumed, "seconds": time.monotonic() - started}, sys.stdout)


if __name__ == "__main__":
    main()
