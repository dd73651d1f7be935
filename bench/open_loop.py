"""Open-loop load: requests are due at times that do not depend on the answers, and are timed from when they were due.

So a server that stalls is charged for every request that it kept from being sent (no coordinated omission). The times
are a Poisson process with a fixed seed, the same for every server. Run as a program, it is the client that does so.
"""

from __future__ import annotations

import gc
import json
import math
import random
import select
import socket
import ssl
import sys
import time
from collections import deque
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from bench import worker
from bench.load import Figures, Load
from bench.machine import Cores
from bench.peers.peer import Running
from bench.request import CLIENT, Request, head

CONNECTIONS = 64
TURN_SECONDS = 0.05
PATIENCE_SECONDS = 2.0
"""How long to wait for answers to what was due; who is slower is overloaded, and would keep us for ever."""
ID = b"bench-%012d"


@dataclass(frozen=True)
class OpenLoop(Load):
    """Figures: requests, per_second, mean_ms, p50_ms, p99_ms, late_ms (mean delay of the client itself)."""

    request: Request
    rate: int

    def __call__(self, running: Running, cores: Cores, seconds: float) -> Figures:
        """Ask `rate` times a second. Raises RuntimeError on any status but 200."""
        text = head(running, self.request)[:-2] + b"x-request-id: " + ID % 0 + b"\r\n\r\n" + self.request.body
        task = {"port": running.port, "tls": running.tls, "seconds": seconds, "rate": self.rate, "text": text.hex()}
        return worker.run("bench.open_loop", task, cores)


class Connection:
    """One kept connection with at most one request under way; `due`: when that should have been sent."""

    __slots__ = ("_answer", "_socket", "due")

    def __init__(self, port: int, *, tls: bool) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=30)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = CLIENT.wrap_socket(plain) if tls else plain
        self._socket.setblocking(False)
        self._answer = b""
        self.due = 0.0

    def fileno(self) -> int:
        """For epoll."""
        return self._socket.fileno()

    def send(self, text: bytes, due: float) -> None:
        """Ask; half a kilobyte always fits into the socket."""
        self.due = due
        self._answer = b""
        if self._socket.send(text) != len(text):
            raise RuntimeError("the server does not read")

    def close(self) -> None:
        """Let it go."""
        self._socket.close()

    def is_answered(self) -> bool:
        """Take what has come; whether that is the whole answer. Raises RuntimeError on any status but 200."""
        try:
            self._answer += self._socket.recv(65536)
        except (ssl.SSLWantReadError, BlockingIOError):
            return False
        fields, end, body = self._answer.partition(b"\r\n\r\n")
        if not end:
            return False
        if not fields.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"the server answers {fields[:60]!r}")
        _, _, rest = fields.lower().partition(b"\r\ncontent-length:")
        return len(body) >= int(rest.partition(b"\r\n")[0])


class Client:
    """All connections and the requests that are due. Times are seconds of `time.perf_counter`."""

    def __init__(self, task: dict[str, Any]) -> None:
        self._before, _, self._after = bytes.fromhex(task["text"]).partition(ID % 0)
        self._rate = task["rate"]
        self._gaps = random.Random(task["rate"])
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        for _ in range(CONNECTIONS):
            connection = Connection(task["port"], tls=task["tls"])
            self._connections[connection.fileno()] = connection
            self._epoll.register(connection.fileno(), select.EPOLLIN)
        self._idle = list(self._connections.values())
        self._waiting: deque[float] = deque()
        self._sent = 0
        self.latencies: list[float] = []
        self.lateness: list[float] = []

    def run(self, seconds: float) -> None:
        """Send what is due for `seconds`, wait for the last answer: PATIENCE_SECONDS at most, and that is charged."""
        due = now = time.perf_counter()
        end = due + seconds
        while due < end or (len(self.latencies) < len(self.lateness) and now < end + PATIENCE_SECONDS):
            now = time.perf_counter()
            while due <= now and due < end:
                self.lateness.append(now - due)
                self._waiting.append(due)
                due += self._gaps.expovariate(self._rate)
            self._dispatch()
            self._collect(due - time.perf_counter() if due < end else TURN_SECONDS)
        unanswered = [*self._waiting, *(one.due for one in self._connections.values() if one not in self._idle)]
        self.latencies.extend(now - one for one in unanswered)

    def close(self) -> None:
        """End all connections."""
        for connection in self._connections.values():
            connection.close()
        self._epoll.close()

    def _dispatch(self) -> None:
        while self._waiting and self._idle:
            self._sent += 1
            text = self._before + ID % self._sent + self._after
            self._idle.pop().send(text, self._waiting.popleft())

    def _collect(self, patience: float) -> None:
        # epoll waits whole milliseconds; select counts microseconds.
        select.select([self._epoll], [], [], max(0.0, patience))
        for descriptor, _ in self._epoll.poll(0):
            connection = self._connections[descriptor]
            if connection.is_answered():
                self.latencies.append(time.perf_counter() - connection.due)
                self._idle.append(connection)


def percentile(ordered: list[float], percent: float) -> float:
    """The value that `percent` of all do not exceed."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def main() -> None:
    """Read a task, ask, print latencies."""
    task = json.load(sys.stdin)
    gc.disable()
    with closing(Client(task)) as client:
        client.run(task["seconds"])
    ordered = sorted(client.latencies)
    told = {
        "requests": len(ordered),
        "per_second": len(ordered) / task["seconds"],
        "mean_ms": sum(ordered) / len(ordered) * 1000,
        "p50_ms": percentile(ordered, 50) * 1000,
        "p99_ms": percentile(ordered, 99) * 1000,
        "late_ms": sum(client.lateness) / len(client.lateness) * 1000,
    }
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
