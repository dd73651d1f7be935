"""Connections to one backend: the newest first, none that is stale, none left over that nobody waits for."""

from __future__ import annotations

import os

import pytest

from gateway.proxy.connection import UpstreamError
from gateway.proxy.journey import ClientGoneError, DeadlineError, Journey
from gateway.proxy.upstream import DISTRUST_SECONDS, IDLE_SECONDS, Upstream


@pytest.fixture
def upstream(loop, backend) -> Upstream:
    return Upstream("http://model:5001", loop)


class Traveller:
    """A journey that connects, and what came of it."""

    def __init__(self, upstream) -> None:
        self.journey, self.connection, self.error = Journey(), None, None
        self.journey.start(self._travel(upstream))

    async def _travel(self, upstream) -> None:
        try:
            self.connection = await upstream.connect(self.journey)
        except (UpstreamError, DeadlineError, ClientGoneError) as error:
            self.error = error


def carried(upstream, loop, answer=b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"):
    """A connection that has carried one request and was put aside."""
    traveller = Traveller(upstream)
    loop.settle()
    connection = traveller.connection
    connection.begin(traveller.journey, body_expected=True)
    connection.request_done = True
    connection.data_received(answer)
    connection.release()
    return connection


@pytest.mark.parametrize(
    ("url", "host", "port", "authority"),
    [
        ("http://model:5001", "model", 5001, b"model:5001"),
        ("http://model", "model", 80, b"model"),
        ("https://model", "model", 443, b"model"),
        ("http://[::1]:5001", "::1", 5001, b"[::1]:5001"),
    ],
)
def test_address(loop, url: str, host: str, port: int, authority: bytes) -> None:
    """Host and port come from the URL, the port from the scheme where it names none."""
    upstream = Upstream(url, loop)
    assert (upstream._host, upstream._port, upstream.authority) == (host, port, authority)


def test_tls_name(loop) -> None:
    """With TLS the server is known by its host, or by the name that was given; without, by none."""
    context = object()
    assert Upstream("https://model", loop, context)._server_name == "model"
    assert Upstream("https://model", loop, context, "other")._server_name == "other"
    assert Upstream("http://model", loop, None, "other")._server_name is None


def test_newest_is_used_first(upstream, loop, clock) -> None:
    """The connection used last is the one least likely to be stale."""
    first, second = Traveller(upstream), Traveller(upstream)
    loop.settle()
    for traveller in (first, second):
        upstream.keep(traveller.connection)
    assert upstream.kept(clock.now) is second.connection
    assert upstream.kept(clock.now) is first.connection
    assert upstream.kept(clock.now) is None


def test_stale_connection_is_closed(upstream, loop, clock) -> None:
    """A connection that was idle too long is not used again."""
    connection = carried(upstream, loop)
    clock.now += IDLE_SECONDS + 0.1
    assert upstream.kept(clock.now) is None
    assert connection.transport.aborted


def test_stale_ones_go_by_themselves(upstream, loop, clock) -> None:
    """After a peak the surplus connections are closed without waiting to be tried; a fresh one stays."""
    old = [Traveller(upstream) for _ in range(3)]
    loop.settle()
    sides = [traveller.connection.transport for traveller in old]
    for traveller in old:
        upstream.keep(traveller.connection)
    loop.advance(2 * IDLE_SECONDS - 0.1)
    new = carried(upstream, loop)
    assert not any(side.aborted for side in sides)
    loop.advance(0.2)
    assert all(side.aborted for side in sides)
    assert upstream.kept(clock.now) is new
    loop.advance(3 * IDLE_SECONDS)
    assert upstream.kept(clock.now) is None


def test_connection_that_the_backend_closed(upstream, loop, clock) -> None:
    """A kept connection that the backend closed is forgotten; one that is just closing is not used."""
    connection = carried(upstream, loop)
    clock.now += 1
    connection.transport.shut()
    assert upstream.kept(clock.now) is None
    connection = carried(upstream, loop)
    clock.now += 1
    connection.transport.closing = True
    assert upstream.kept(clock.now) is None
    connection = carried(upstream, loop)
    assert upstream.kept(clock.now) is connection


def test_connection_of_which_the_kernel_knows_more(upstream, loop, clock, monkeypatch) -> None:
    """An end, or bytes, that have arrived but were not read yet keep a connection from being used again."""
    connection = carried(upstream, loop)
    clock.now += 1
    with os.fdopen(os.eventfd(1)) as readable:
        monkeypatch.setattr(connection.transport, "fileno", readable.fileno)
        assert upstream.kept(clock.now) is None
    assert connection.transport.aborted


@pytest.mark.parametrize("moment", ["idle", "unread", "used again"])
def test_backend_that_closes_after_each_answer(upstream, loop, clock, monkeypatch, moment: str) -> None:
    """Who closes right after an answer, unsaid, is sent one request a connection; after a while it is tried anew."""
    connection = carried(upstream, loop)
    clock.now += 0.1
    if moment == "idle":
        connection.transport.shut()
    elif moment == "used again":
        assert upstream.kept(clock.now) is connection
        connection.begin(Journey(), body_expected=True)
        connection.journey.start(_nothing())
        connection.transport.reset()
    else:
        with os.fdopen(os.eventfd(1)) as readable:
            monkeypatch.setattr(connection.transport, "fileno", readable.fileno)
            assert upstream.kept(clock.now) is None
    assert carried(upstream, loop).transport.aborted
    assert upstream.kept(clock.now) is None
    clock.now += DISTRUST_SECONDS
    connection = carried(upstream, loop)
    assert upstream.kept(clock.now) is connection


async def _nothing() -> None:
    pass


@pytest.mark.parametrize("data", [b"HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n", b"x"])
def test_unasked_bytes_end_a_kept_connection(upstream, loop, clock, data: bytes) -> None:
    """What a backend says without being asked is no answer to the next request."""
    connection = carried(upstream, loop)
    side = connection.transport
    side.send(data)
    assert side.aborted
    assert upstream.kept(clock.now) is None


def test_refused(upstream, loop, backend) -> None:
    """A refused connection is told with the kind, and that nothing was sent."""
    backend.mode = "refuse"
    traveller = Traveller(upstream)
    loop.settle()
    assert (traveller.error.kind, traveller.error.unsent) == ("refused", True)
    assert "Connection refused" in str(traveller.error)


@pytest.mark.parametrize("error", [DeadlineError, ClientGoneError])
def test_attempt_is_given_up(upstream, loop, backend, error) -> None:
    """An attempt that nobody waits for any more is cancelled."""
    backend.mode = "hang"
    traveller = Traveller(upstream)
    loop.settle()
    traveller.journey.throw(error())
    loop.settle()
    assert isinstance(traveller.error, error)
    assert backend.hanging.cancelled()


def test_attempt_that_succeeds_too_late(upstream, loop, backend) -> None:
    """A connection that comes up in the moment in which the deadline passes is closed, not lost sight of."""
    traveller = Traveller(upstream)
    # The attempt is done, but the journey was not woken yet when its deadline comes.
    while not backend.sides:
        loop._ready.popleft().run()
    assert traveller.connection is None
    traveller.journey.throw(DeadlineError())
    loop.settle()
    assert isinstance(traveller.error, DeadlineError)
    assert backend.last.aborted


def test_attempt_that_fails_too_late(upstream, loop, backend) -> None:
    """A failure that nobody waits for any more is no unhandled error."""
    backend.mode = "refuse"
    traveller = Traveller(upstream)
    loop._ready.popleft().run()
    traveller.journey.throw(DeadlineError())
    loop.settle()
    assert isinstance(traveller.error, DeadlineError)
    assert loop.failures == []


def test_closed_upstream(upstream, loop) -> None:
    """A backend that is no longer used keeps no connection, not even one that was in use until now."""
    idle = carried(upstream, loop)
    traveller = Traveller(upstream)
    loop.settle()
    upstream.close()
    assert idle.transport.aborted
    upstream.keep(traveller.connection)
    assert traveller.connection.transport.aborted


def test_control_a_stale_connection_would_be_used(upstream, loop, clock, monkeypatch) -> None:
    """Control: with a longer memory the stale connection of the test above is handed out."""
    connection = carried(upstream, loop)
    clock.now += IDLE_SECONDS + 0.1
    monkeypatch.setattr("gateway.proxy.upstream.IDLE_SECONDS", 60.0)
    assert upstream.kept(clock.now) is connection


def test_backend_that_closes_at_once(upstream, loop, backend) -> None:
    """A connection that is closed before anything was sent on it is a failed attempt: another backend may have it."""
    traveller = Traveller(upstream)
    while not backend.sides:
        loop._ready.popleft().run()
    backend.last.close()
    loop.settle()
    assert (traveller.error.kind, traveller.error.unsent) == ("closed", True)
