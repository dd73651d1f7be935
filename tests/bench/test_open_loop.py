"""The open-loop client: what a server that stalls is charged for."""

from __future__ import annotations

import socketserver
import threading
import time
from contextlib import closing, contextmanager

import pytest

from bench import open_loop
from bench.open_loop import ID, Client, percentile

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
STALL_SECONDS = 0.5
RATE = 200


class Stalling(socketserver.BaseRequestHandler):
    """Answers at once, but for one request that holds all others up."""

    def handle(self):
        """One connection to its end."""
        while data := self.request.recv(65536):
            with self.server.lock:
                self.server.served += data.count(b"\r\n\r\n")
                if self.server.served >= self.server.stalls_at:
                    self.server.stalls_at = float("inf")
                    time.sleep(STALL_SECONDS)
            self.request.sendall(ANSWER)


class Server(socketserver.ThreadingTCPServer):
    """Takes all connections of a client at once."""

    daemon_threads = True
    request_queue_size = 128


@contextmanager
def serving(stalls_at):
    with Server(("127.0.0.1", 0), Stalling) as server:
        server.lock, server.served, server.stalls_at = threading.Lock(), 0, stalls_at
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def ask(port, seconds):
    text = b"GET / HTTP/1.1\r\nx-request-id: " + ID % 0 + b"\r\n\r\n"
    with closing(Client({"port": port, "tls": False, "rate": RATE, "text": text.hex()})) as client:
        client.run(seconds)
    return client


def test_a_stall_is_charged_for_every_request_that_was_due_in_it():
    """No coordinated omission: half a second at 200 a second delays about a hundred requests, not one."""
    with serving(stalls_at=20) as port:
        client = ask(port, 1.0)
    delayed = [latency for latency in client.latencies if latency > STALL_SECONDS / 5]
    assert max(client.latencies) > STALL_SECONDS * 0.9
    assert len(delayed) > RATE * STALL_SECONDS / 3


def test_times_do_not_depend_on_the_answers():
    """The same requests are due however the server answers; all are answered in the end."""
    with serving(stalls_at=20) as slow, serving(stalls_at=float("inf")) as fast:
        assert len(ask(slow, 0.7).latencies) == len(ask(fast, 0.7).latencies)


def test_who_never_answers_is_charged_and_not_waited_for():
    """A server that hangs for good costs its requests all the time that they waited, and ends the run all the same."""
    with serving(stalls_at=20) as port, pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "STALL_SECONDS", 3.0)
        patch.setattr(open_loop, "PATIENCE_SECONDS", 0.2)
        client = ask(port, 0.5)
    assert len(client.latencies) == len(client.lateness)
    assert 0.2 < max(client.latencies) < 2.9


def test_a_server_that_answers_otherwise_is_no_figure():
    """A control: refusals are fast, and must not pass for a fast server."""
    with serving(stalls_at=float("inf")) as port, pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "ANSWER", ANSWER.replace(b"200 OK", b"503 No"))
        with pytest.raises(RuntimeError, match="503"):
            ask(port, 0.2)


@pytest.mark.parametrize(("percent", "value"), [(50, 50), (99, 99), (100, 100), (0, 1)])
def test_percentiles(percent, value):
    """The value that so many of a hundred do not exceed."""
    assert percentile([float(number) for number in range(1, 101)], percent) == value
