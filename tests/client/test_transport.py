"""What only the blocking shell decides: which connections are kept, and what an early answer means."""

import socket
import threading

import pytest

from gateway.client.error import UnreachableError
from gateway.client.message import Request
from gateway.client.transport import Transport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Script:
    """A server in a thread: for each connection the answers it gives, one for each head it reads; then it closes."""

    def __init__(self, *connections):
        self._connections = connections
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self.accepted = 0
        self.closed = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._play, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._thread.join(10)
        self._listener.close()

    def _play(self):
        for answers in self._connections:
            connection, _ = self._listener.accept()
            self.accepted += 1
            with connection:
                for answer in answers:
                    head = b""
                    while b"\r\n\r\n" not in head:
                        head += connection.recv(65536)
                    connection.sendall(answer)
            self.closed.release()


@pytest.fixture
def transport():
    made = Transport(None, 5.0)
    yield made
    made.close()


def test_connections_are_kept(transport):
    """Two requests in a row go over one connection."""
    with Script([OK, OK]) as server:
        for _ in range(2):
            assert transport.send(Request("GET", server.url, {})).body == b"ok"
    assert server.accepted == 1


def test_a_connection_that_ended_meanwhile_is_not_used(transport):
    """A server that closed the kept connection is asked over a new one, also for what must not be sent twice."""
    with Script([OK], [OK]) as server:
        transport.send(Request("POST", server.url, {}))
        assert server.closed.acquire(timeout=5)
        assert transport.send(Request("POST", server.url, {})).body == b"ok"
    assert server.accepted == 2


def test_connection_close_is_obeyed(transport):
    """After `Connection: close` nothing is kept."""
    closing = OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n", 1)
    with Script([closing], [OK]) as server:
        for _ in range(2):
            transport.send(Request("GET", server.url, {}))
    assert server.accepted == 2


def test_fields_sent_twice_are_joined(transport):
    """Repeated fields are one value; names come in lower case."""
    with Script([b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 0\r\n\r\n"]) as server:
        assert transport.send(Request("GET", server.url, {})).headers["x-a"] == "1, 2"


def test_a_broken_answer_is_an_error(transport):
    """A body shorter than its length is never taken for a whole one."""
    short = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"
    with Script([short]) as server, pytest.raises(UnreachableError, match="the connection broke"):
        transport.send(Request("GET", server.url, {}))


def test_an_early_refusal_of_a_large_body_is_told(transport):
    """A server that answers 413 before it read the body, and closes its side, is heard."""
    listener = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()

    def refuse():
        connection, _ = listener.accept()
        with connection:
            connection.recv(1024)
            connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 20) and not done.is_set():
                pass

    thread = threading.Thread(target=refuse, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    answer = transport.send(Request("POST", url, {}, b"x" * 5_000_000))
    done.set()
    thread.join(5)
    listener.close()
    assert answer.status == 413
