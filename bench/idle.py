"""Load by connections that do nothing: each scores once, then stays open; every round adds as many again."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field

from bench import account
from bench.load import Figures, Load
from bench.machine import Cores
from bench.peers.peer import Running
from bench.request import CLIENT, Request, head

A_ROUND = 250


@dataclass(frozen=True)
class Idle(Load):
    """Figures: connection_kib, the growth of the server's memory for each connection of this round."""

    request: Request
    is_timed = False
    kept: list[socket.socket] = field(default_factory=list)

    def __call__(self, running: Running, cores: Cores, seconds: float) -> Figures:  # noqa: ARG002 - it takes what it takes
        """Open them."""
        pids = account.tree(running.pid)
        before = account.memory_bytes(pids)
        self.kept.extend(self._open(running) for _ in range(A_ROUND))
        grown = account.memory_bytes(pids) - before
        return {"connection_kib": grown / A_ROUND / 1024}

    def close(self) -> None:
        """Let them go."""
        for connection in self.kept:
            connection.close()
        self.kept.clear()

    def _open(self, running: Running) -> socket.socket:
        plain = socket.create_connection(("127.0.0.1", running.port), timeout=30)
        connection = CLIENT.wrap_socket(plain) if running.tls else plain
        connection.sendall(head(running, self.request) + self.request.body)
        if not connection.recv(65536).startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{running.name} does not answer on connection {len(self.kept) + 1}")
        return connection
