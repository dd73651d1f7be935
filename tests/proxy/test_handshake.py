"""TLS handshakes: how they succeed, how clients are told why they fail, and what hostile ones cost."""

from __future__ import annotations

import logging
import ssl

import pytest
from tls_line import VERSIONS, Contexts, Line, Recorders

from gateway.core.settings import ScoringSettings
from gateway.proxy.client import FIRST_REQUEST_SECONDS, Client
from gateway.proxy.farewell import LINGER_SECONDS
from gateway.proxy.handshake import Handshake
from gateway.proxy.listener import Listener
from gateway.proxy.sweep import Sweep

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
TIMEOUT = 10.0


@pytest.fixture(scope="module")
def contexts(tmp_path_factory) -> Contexts:
    return Contexts(tmp_path_factory.mktemp("tls"))


@pytest.fixture(params=VERSIONS, ids=["1.2", "1.3"])
def version(request) -> ssl.TLSVersion:
    return request.param


@pytest.fixture
def listener(loop) -> Recorders:
    return Recorders(Sweep(loop), handshake_timeout_seconds=TIMEOUT)


@pytest.fixture
def connect(contexts, make_transport, listener):
    """`connect(version, server=…)`: a line whose handshake has not begun."""

    def connect(version=ssl.TLSVersion.TLSv1_3, *, server=None, listener=listener, **options) -> Line:
        make = lambda protocol: make_transport(protocol, **options)  # noqa: E731
        return Line(make, listener, server or contexts.server(), contexts.client(version))

    return connect


async def _serve(client: Client, message) -> None:
    client.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    client.finish(message, keep=not client.draining)


@pytest.fixture
def clients(loop) -> Listener:
    """A listener of real clients."""
    return Listener(_serve, ScoringSettings(handshake_timeout_seconds=TIMEOUT), Sweep(loop), secure=True)


# --- handshakes that succeed


@pytest.mark.parametrize("size", [1 << 30, 100, 1])
def test_in_pieces(connect, clients, version, size: int) -> None:
    """A handshake in any pieces ends in a connection that is served."""
    line = connect(version, listener=clients)
    line.size = size
    line.shake()
    line.send(GET)
    assert line.read().startswith(b"HTTP/1.1 200 OK")
    (client,) = clients.clients
    assert isinstance(client, Client)
    line.side.reset()


def test_request_behind_the_handshake(connect, listener) -> None:
    """A request in one arrival with the end of the handshake is delivered."""
    line = connect()
    for _ in range(2):
        try:
            line.tls.do_handshake()
        except ssl.SSLWantReadError:
            line.exchange()
    line.write(GET)
    line.exchange()
    assert listener.made[0].received == GET


def test_a_session_is_resumed(connect, contexts, version) -> None:
    """A client that comes again with its session is spared the long handshake, also on a context of the same keys."""
    server, client = contexts.server(), contexts.client(version)
    session = None
    for is_again in (False, True):
        line = connect(version, server=server)
        line.tls = client.wrap_bio(line.incoming, line.outgoing, server_hostname="localhost", session=session)
        line.shake()
        line.read()
        assert line.tls.session_reused is is_again
        session = line.tls.session


def test_the_wheel_forgets_it(connect, listener, loop) -> None:
    """Once it is done its deadline is gone, and the connection stays."""
    line = connect()
    line.shake()
    loop.advance(TIMEOUT * 2)
    assert not line.side.closing
    assert not listener.sweep._turns


# --- handshakes that fail


@pytest.mark.parametrize("demand", ["version", "certificate"])
def test_client_is_told_why(connect, contexts, demand: str, caplog) -> None:
    """A client that is refused gets the alert that says why, and the end of the stream; the log a line at debug."""
    caplog.set_level(logging.DEBUG, "gateway.tls")
    settings = {"minimum_version": "1.3"} if demand == "version" else {"client_ca": contexts.made.ca}
    reason = "PROTOCOL_VERSION" if demand == "version" else "HANDSHAKE_FAILURE"
    line = connect(ssl.TLSVersion.TLSv1_2, server=contexts.server(**settings))
    with pytest.raises(ssl.SSLError, match=reason):
        line.shake()
    assert line.side.eof
    (record,) = caplog.records
    assert record.levelno == logging.DEBUG
    assert record.getMessage().startswith("the TLS handshake with 192.0.2.7 failed: [SSL")
    line.side.shut()


def test_client_certificate_is_missing_1_3(connect, contexts) -> None:
    """With TLS 1.3 a client takes its handshake for done, asks, and reads the alert for its missing certificate."""
    line = connect(server=contexts.server(client_ca=contexts.made.ca))
    line.shake()
    line.write(GET)
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
        line.read()
    line.exchange()
    assert line.side.eof


def test_control_without_the_alert_a_client_is_not_told(connect, contexts, monkeypatch) -> None:
    """Control: a gateway that only closes leaves the client without a reason."""
    monkeypatch.setattr(Handshake, "_fail", lambda self, _: self._tcp.abort())
    line = connect(ssl.TLSVersion.TLSv1_2, server=contexts.server(minimum_version="1.3"))
    with pytest.raises(AssertionError, match="no end"):
        line.shake()


def test_failed_one_lingers(connect, contexts, listener, loop) -> None:
    """After the alert what still comes is dropped, for a while, or until the client ends."""
    first, second = (connect(ssl.TLSVersion.TLSv1_2, server=contexts.server(minimum_version="1.3")) for _ in range(2))
    for line in (first, second):
        with pytest.raises(ssl.SSLError):
            line.shake()
        line.side.send(bytes(100_000))
    first.side.shut()
    assert first.side.lost
    assert len(listener.clients) == 1
    loop.advance(LINGER_SECONDS + 0.1)
    assert second.side.aborted
    assert not listener.clients


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\xff\xff" + bytes(70_000),
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"\x80\x2e\x01\x00\x02" + bytes(43),
        bytes(range(256)),
    ],
    ids=["plain-http", "huge-record", "alert", "sslv2", "noise"],
)
def test_no_tls_at_all(connect, listener, loop, data: bytes, caplog) -> None:
    """Whoever speaks something else is gone soon, gets nothing but an alert, and fills no log."""
    caplog.set_level(logging.DEBUG, "gateway.tls")
    line = connect()
    line.side.send(data)
    loop.advance(LINGER_SECONDS + 0.1)
    assert line.side.lost
    assert len(line.side.take()) in (0, 7)
    assert not listener.clients
    assert [record.levelno for record in caplog.records] == [logging.DEBUG]


def test_name_that_is_not_ascii(connect, contexts, caplog, capfd) -> None:
    """A server name that Python cannot read ends the handshake with an alert, and prints no traceback."""
    caplog.set_level(logging.DEBUG, "gateway.tls")
    server = contexts.server()
    server.sni_callback = lambda *_: None
    line = connect(server=server)
    with pytest.raises(ssl.SSLWantReadError):
        line.tls.do_handshake()
    line.side.send(line.outgoing.read().replace(b"localhost", b"l\xff\xfealhost"))
    assert line.side.eof
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}
    assert capfd.readouterr().err == ""


def test_choice_of_a_certificate_that_fails(connect, contexts, caplog) -> None:
    """An error of our own in the choice of the certificate is logged as one, and the client gets an alert."""

    def choose(*_) -> None:
        raise LookupError("lost")

    server = contexts.server()
    server.sni_callback = choose
    line = connect(server=server)
    with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
        line.shake()
    (record,) = caplog.records
    assert (record.levelname, record.exc_info[0]) == ("ERROR", LookupError)


# --- slow, gone, too many


def test_trickled_bytes_do_not_move_the_deadline(connect, listener, loop, caplog) -> None:
    """A handshake has one deadline, however many bytes come before it."""
    caplog.set_level(logging.DEBUG, "gateway.tls")
    line = connect()
    line.side.send(b"\x16\x03\x01\x02\x00\x01")
    for _ in range(int(TIMEOUT) - 1):
        loop.advance(1)
        line.side.send(b"\x00")
    assert not line.side.closing
    loop.advance(1.1)
    assert line.side.aborted
    assert not listener.clients
    (record,) = caplog.records
    assert record.getMessage() == "the TLS handshake with 192.0.2.7 was not finished in time"


def test_client_that_leaves_within_it(connect, listener, contexts) -> None:
    """Whoever leaves at any point of the handshake leaves nothing behind."""
    flight = connect()
    with pytest.raises(ssl.SSLWantReadError):
        flight.tls.do_handshake()
    hello = flight.outgoing.read()
    for end in ("shut", "reset"):
        for data in (b"", hello[:50], hello):
            line = connect()
            line.side.send(data)
            getattr(line.side, end)()
            assert line.side.lost
    assert listener.clients == {flight.handshake}
    flight.side.reset()
    assert not listener.clients
    assert not listener.made
    assert not any(listener.sweep._turns.values())


def test_who_is_gone_already(connect, listener) -> None:
    """A connection that was reset before it was taken in has no peer any more."""
    line = connect(peer=None)
    assert line.side.aborted
    assert not listener.clients
    line.side.loop.settle()


@pytest.mark.parametrize(("limit", "kind"), [("max_connections", "total"), ("max_connections_per_ip", "address")])
def test_handshakes_are_counted(contexts, make_transport, loop, limit: str, kind: str) -> None:
    """A handshake takes one place among the connections, which its connection keeps, and gives back once."""
    listener = Listener(_serve, ScoringSettings(**{limit: 2}), Sweep(loop), secure=True)
    server = contexts.server()
    first, second, third = (Line(make_transport, listener, server, contexts.client(VERSIONS[1])) for _ in range(3))
    assert third.side.aborted
    assert listener.turned_away == {kind: 1}
    first.shake()
    assert len(listener.clients) == 2
    fourth = Line(make_transport, listener, server, contexts.client(VERSIONS[1]))
    assert fourth.side.aborted
    for line in (first, second):
        line.side.reset()
    assert not listener.clients
    fifth = Line(make_transport, listener, server, contexts.client(VERSIONS[1]))
    fifth.shake()
    fifth.send(GET)
    assert fifth.read().startswith(b"HTTP/1.1 200")
    fifth.side.reset()
    loop.settle()
    assert not listener._of_address


# --- while the gateway ends


def test_one_that_had_begun_may_end(connect, clients, loop) -> None:
    """A handshake that was under way when the gateway began to end is finished, and its request answered."""
    line = connect(listener=clients)
    with pytest.raises(ssl.SSLWantReadError):
        line.tls.do_handshake()
    line.exchange()
    clients.drain()
    loop.advance(FIRST_REQUEST_SECONDS / 2)
    assert not clients.empty.is_set()
    line.shake()
    assert not clients.empty.is_set()
    line.send(GET)
    assert line.read().startswith(b"HTTP/1.1 200")
    line.side.shut()
    assert clients.empty.is_set()


def test_one_that_does_not_end_is_ended(connect, clients, loop) -> None:
    """It is given a second, and whoever comes later no more; one whose own deadline is nearer keeps that."""
    lines = [connect(listener=clients)]
    loop.advance(TIMEOUT - FIRST_REQUEST_SECONDS / 2)
    lines.append(connect(listener=clients))
    clients.drain()
    lines.append(connect(listener=clients))
    loop.advance(FIRST_REQUEST_SECONDS / 2 + 0.1)
    assert [line.side.aborted for line in lines] == [True, False, False]
    loop.advance(FIRST_REQUEST_SECONDS / 2)
    assert all(line.side.aborted for line in lines)
    assert clients.empty.is_set()


def test_broken_off(connect, clients, loop) -> None:
    """When the time is up it is ended like any other connection."""
    line = connect(listener=clients)
    for one in list(clients.clients):
        one.break_off()
    loop.settle()
    assert line.side.aborted
    assert not clients.clients
