"""The answer on one connection: what its bytes mean, when it is complete, and whether another may follow."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.proxy.connection import MAX_BUFFERED, Connection
from gateway.proxy.journey import PAUSE, Journey

OK = b"HTTP/1.1 200 OK\r\n"


class Keeper:
    def __init__(self) -> None:
        self.kept, self.dropped = [], []

    def keep(self, connection) -> None:
        self.kept.append(connection)

    def drop(self, connection) -> None:
        self.dropped.append(connection)


class Pipe:
    """A transport that only remembers how it was ended."""

    def __init__(self) -> None:
        self.ended = self.closing = False
        self.paused = 0

    def abort(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.paused += 1

    def resume_reading(self) -> None:
        self.paused -= 1


def begun(*, body_expected: bool = True) -> Connection:
    """A connection whose request was sent whole."""
    connection = Connection(Keeper())
    connection.connection_made(Pipe())
    connection.begin(Journey(), body_expected=body_expected)
    connection.journey.over = True
    connection.request_done = True
    return connection


def told(connection: Connection):
    return (
        connection.status,
        [(lower, value) for lower, _, value in connection.headers],
        connection.take(),
        connection.head_ready,
        connection.complete,
        connection.error and connection.error.kind,
    )


CONVERSATIONS = [
    OK + b"Content-Length: 5\r\nX-A: b\r\n\r\nhello",
    OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-T: u\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    OK + b"Content-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz",
    OK + b"\r\nuntil the end",
    b"garbage",
]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_split_gives_the_same_answer(data) -> None:
    """However the network cuts an answer, it means the same."""
    whole = data.draw(st.sampled_from(CONVERSATIONS))
    places = sorted(set(data.draw(st.lists(st.integers(1, len(whole) - 1), max_size=10))))
    one, other = begun(), begun()
    one.data_received(whole)
    for start, end in zip([0, *places], [*places, len(whole)], strict=True):
        other.data_received(whole[start:end])
    assert told(one) == told(other)


def test_second_request_on_a_connection() -> None:
    """Nothing of one answer is left when the next request begins."""
    connection = begun()
    connection.data_received(
        b"HTTP/1.1 103 Early\r\n\r\n" + OK + b"Content-Length: 2\r\nConnection: X-A\r\nX-A: b\r\n\r\n{}"
    )
    connection.release()
    assert connection._keeper.kept == [connection]
    connection.begin(Journey(), body_expected=True)
    assert told(connection) == (0, [], b"", False, False, None)
    assert connection.connection_field == b""
    assert connection.length is None


@pytest.mark.parametrize("spoiled", ["incomplete", "unsent", "closing", "head", "error"])
def test_only_a_clean_connection_is_kept(spoiled: str) -> None:
    """A connection is kept only if answer and request were whole, and both sides want it."""
    connection = begun(body_expected=spoiled != "head")
    connection.data_received(OK + b"Content-Length: 2\r\n\r\n" + (b"{" if spoiled == "incomplete" else b"{}"))
    if spoiled == "unsent":
        connection.request_done = False
    if spoiled == "closing":
        connection.transport.closing = True
    if spoiled == "error":
        connection.data_received(b"more")
    connection.release()
    assert connection._keeper.kept == []
    assert connection.transport.ended


def test_reading_pauses_and_resumes() -> None:
    """Beyond a measure of content that nobody took, reading waits; taking it resumes."""
    connection = begun()
    connection.data_received(OK + b"Content-Length: 1000000\r\n\r\n" + b"x" * (MAX_BUFFERED + 1))
    connection.data_received(b"x" * 10)
    assert connection.transport.paused == 1
    assert len(connection.take()) == MAX_BUFFERED + 11
    assert connection.transport.paused == 0
    assert connection.take() == b""


def test_writing_waits() -> None:
    """A backend that reads slowly is seen by whoever writes, and its recovery wakes them."""
    connection = begun()
    woken = []

    async def write() -> None:
        while True:
            woken.append(connection.write_paused)
            await PAUSE

    connection.pause_writing()
    connection.journey = Journey()
    connection.journey.start(write())
    connection.resume_writing()
    assert woken == [True, False]


def test_events_between_requests_wake_nobody() -> None:
    """A kept connection may be told to write on, or end, without a request."""
    connection = begun()
    connection.data_received(OK + b"Content-Length: 0\r\n\r\n")
    connection.release()
    connection.pause_writing()
    connection.resume_writing()
    assert connection.eof_received() is False
    connection.connection_lost(None)
    assert connection._keeper.dropped == [connection]
    assert connection.error is None


def test_first_failure_counts() -> None:
    """What went wrong first is what is told."""
    connection = begun()
    connection.data_received(b"garbage")
    connection.data_received(b"more garbage")
    connection.connection_lost(ConnectionResetError())
    assert connection.error.kind == "garbage"
    assert not connection.error.unsent


def test_control_a_parser_for_each_read_differs() -> None:
    """Control: a connection that begins anew with every read does not get the same answer from two halves."""
    import httptools

    whole, cut = begun(), begun()
    whole.data_received(CONVERSATIONS[0])
    cut.data_received(CONVERSATIONS[0][:30])
    cut._parser = httptools.HttpResponseParser(cut)
    cut.data_received(CONVERSATIONS[0][30:])
    assert told(whole) != told(cut)
