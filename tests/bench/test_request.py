"""The look at every server before it is measured: one that does less work than the others is found out."""

from __future__ import annotations

import http.server
import threading
from contextlib import contextmanager

import pytest

from bench.peers.peer import KEY, Running
from bench.request import Request, check, head


@contextmanager
def answering(status_of):
    """A server whose status depends on the Authorization field."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status_of(self.headers["Authorization"]))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Running("some proxy", server.server_port, 0, tls=False)
        server.shutdown()


def test_a_server_that_checks_keys_may_take_part():
    """The right key opens, a wrong one does not."""
    with answering(lambda field: 200 if field == f"Bearer {KEY}" else 401) as running:
        check(running, Request())


def test_a_server_that_opens_with_any_key_may_not():
    """The control: a proxy without a key check would be measured at less work."""
    with answering(lambda _: 200) as running, pytest.raises(RuntimeError, match="opens with a wrong key"):
        check(running, Request())


def test_a_server_with_another_status_may_not():
    """A proxy whose backend is missing answers fast, and its figures would mean nothing."""
    with answering(lambda _: 502) as running, pytest.raises(RuntimeError, match="answers 502 where 200 is due"):
        check(running, Request())


def test_a_head_carries_what_the_load_generator_sends():
    """Clients that write their own bytes ask the same as the others; a token stands where it was asked for."""
    running = Running("some proxy", 8080, 0, tls=False, token="t.o.k")
    text = head(running, Request(by_token=True), last=True)
    assert text.startswith(b"POST /api/v1/service/diabetes/score HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n")
    assert b"\r\nAuthorization: Bearer t.o.k\r\n" in text
    assert text.endswith(b"Content-Length: 414\r\nConnection: close\r\n\r\n")
