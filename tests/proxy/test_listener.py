"""What the connections of a worker share: how many there may be, and how they end together."""

from __future__ import annotations

import ipaddress

import pytest

from gateway.proxy.client import FIRST_REQUEST_SECONDS, LINGER_SECONDS

GET = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
LIMITS = {"header_timeout_seconds": 10.0, "body_timeout_seconds": 20.0, "keep_alive_seconds": 75.0}


# --- caps


def test_max_connections(make_rig, answer) -> None:
    """One connection too many is ended at once; when another leaves there is room again."""
    rig = make_rig(limits={"max_connections": 2})
    one, two, three = (rig.connect() for _ in range(3))
    assert (one.lost, two.lost, three.aborted) == (False, False, True)
    assert rig.listener.turned_away == {"total": 1}
    three.protocol.data_received(GET)
    one.reset()
    four = rig.connect()
    four.send(GET)
    assert answer(four.take()).status == 200


def test_max_connections_per_ip(make_rig, answer) -> None:
    """An address has its share of connections and no more; when it leaves one, it may have another."""
    rig = make_rig(limits={"max_connections_per_ip": 2})
    one, two, three = (rig.connect() for _ in range(3))
    other = rig.connect(peer=("192.0.2.8", 40000))
    assert [client.aborted for client in (one, two, three, other)] == [False, False, True, False]
    assert rig.listener.turned_away == {"address": 1}
    three.reset()
    assert rig.connect().aborted, "an end of what was never counted made room"
    one.reset()
    again = rig.connect()
    again.send(GET)
    assert answer(again.take()).status == 200


@pytest.mark.parametrize(("network", "aborted"), [("192.0.2.0/24", False), ("198.51.100.0/24", True)])
def test_trusted_proxies_are_not_counted_as_one_address(make_rig, network: str, aborted: bool) -> None:
    """A proxy that all clients come through has as many connections as it needs; control: another one has not."""
    rig = make_rig(limits={"max_connections_per_ip": 1})
    listener = rig.listen(trusted=(ipaddress.ip_network(network),))
    rig.connect(listener=listener)
    assert rig.connect(listener=listener).aborted is aborted


# --- draining


def test_drain(rig, post, ok, answer) -> None:
    """Draining closes what is idle, finishes what is under way with `Connection: close`, tells when all are gone."""
    idle, busy, arriving, discarding = (rig.connect() for _ in range(4))
    idle.send(GET)
    idle.take()
    busy.send(post())
    arriving.send(b"GET /livez HTTP")
    discarding.send(post(None, b"Content-Length: 70000", path=b"/nothing"))
    rig.listener.drain()
    rig.pass_time(0)
    assert (idle.eof, busy.eof, arriving.eof, discarding.eof) == (True, False, False, True)
    assert not rig.listener.empty.is_set()
    rig.backend.last.send(ok())
    assert answer(busy.take()).headers["connection"] == "close"
    arriving.send(b"/1.1\r\nHost: a\r\n\r\n")
    assert answer(arriving.take()).headers["connection"] == "close"
    rig.pass_time(LINGER_SECONDS + 0.1)
    assert (busy.lost, arriving.lost) == (True, True)
    assert rig.listener.empty.is_set()


def test_last_answers_say_so(rig, post, ok, answer) -> None:
    """Before the end every answer that begins says that it is the last one; one that had begun keeps its connection."""
    begun, fresh = rig.connect(), rig.connect()
    begun.send(post())
    rig.backend.last.send(ok(b"12345")[:-2])
    rig.listener.draining = True
    rig.backend.last.send(b"45")
    assert "connection" not in answer(begun.take()).headers
    begun.send(GET)
    fresh.send(GET)
    rig.pass_time(0)
    for client in (begun, fresh):
        assert answer(client.take()).headers["connection"] == "close"
        assert client.lost
    assert not rig.listener.empty.is_set()


def test_first_request_in_the_end(rig, answer) -> None:
    """A connection that was opened before or during the end may bring its first request, if it comes soon."""
    before = [rig.connect(), rig.connect()]
    rig.listener.drain()
    during = [rig.connect(), rig.connect()]
    rig.pass_time(FIRST_REQUEST_SECONDS - 0.1)
    assert not rig.listener.empty.is_set()
    for client in (before[0], during[0]):
        client.send(GET)
        assert answer(client.take()).headers["connection"] == "close"
    rig.pass_time(0.2)
    assert (before[1].lost, during[1].lost) == (True, True)
    assert rig.listener.empty.is_set()


def test_drain_of_an_empty_listener(rig) -> None:
    """With no connection open draining is over at once."""
    rig.listener.drain()
    assert rig.listener.empty.is_set()


def test_draining_begins_while_an_answer_is_out(rig, post, ok, answer) -> None:
    """An answer whose head did not say so yet ends its connection all the same."""
    client = rig.connect()
    client.send(post())
    rig.backend.last.send(ok(b"12345")[:-2])
    rig.listener.drain()
    rig.backend.last.send(b"45")
    assert answer(client.take()).body == b"12345"
    assert client.lost


def test_lame_duck_says_so(rig, answer) -> None:
    """While the gateway is about to end, every answer that begins is the last on its connection, and says so."""
    client = rig.connect()
    rig.listener.draining = True
    client.send(GET)
    assert answer(client.take()).headers["connection"] == "close"
    assert client.lost


def test_new_connection_while_ending(make_rig, answer) -> None:
    """A connection that the kernel had queued may bring its one request, if it does so soon."""
    rig = make_rig(limits=LIMITS)
    rig.listener.drain()
    quick, slow = rig.connect(), rig.connect()
    assert not rig.listener.empty.is_set()
    quick.send(GET)
    assert answer(quick.take()).headers["connection"] == "close"
    rig.pass_time(FIRST_REQUEST_SECONDS + 0.1)
    assert slow.lost
    rig.pass_time(LINGER_SECONDS)
    assert rig.listener.empty.is_set()
