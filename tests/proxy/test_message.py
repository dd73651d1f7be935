"""A request's head, beyond what the parser checks: where it wants to go, how its body comes, who sent it."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.problem import Reply
from gateway.proxy.message import MAX_DISCARDED, Message, client_address, plain_address


def head(*fields: tuple[bytes, bytes], method=b"POST", target=b"/score", version="1.1", host=b"gateway"):
    """A message whose head has these fields, Host first unless it is None."""
    message = Message()
    message.target = target
    given_fields = (((b"Host", host),) if host is not None else ()) + fields
    message.headers = [(name.lower(), name, value) for name, value in given_fields]
    message.head(method, version, keep_alive=True, secure=True)
    return message


def refused(message: Message):
    return message.refusal and (message.refusal.status, message.refusal.reason)


def test_good_head() -> None:
    """An ordinary request is an exchange with path, query, length and times, and no refusal."""
    message = head((b"Content-Length", b"12"), target=b"/score?a=b?c")
    exchange = message.exchange
    assert message.refusal is None
    assert (exchange.path, exchange.query, exchange.length) == (b"/score", b"?a=b?c", 12)
    assert exchange.now == message.started > 0
    assert exchange.wall > 1.7e9
    assert exchange.secure


@pytest.mark.parametrize(
    ("fields", "version", "length", "why"),
    [
        ([], "1.1", 0, None),
        ([(b"Transfer-Encoding", b"Chunked")], "1.1", None, None),
        ([(b"Transfer-Encoding", b"chunked")], "1.0", 0, (501, "transfer_coding")),
        ([(b"Transfer-Encoding", b"gzip, chunked")], "1.1", 0, (501, "transfer_coding")),
        ([(b"Upgrade", b"h2c")], "1.1", 0, None),
        ([(b"Upgrade", b"h2c"), (b"Content-Length", b"1")], "1.1", 1, (501, "upgrade")),
        ([(b"Upgrade", b"h2c"), (b"Transfer-Encoding", b"chunked")], "1.1", None, (501, "upgrade")),
        ([(b"Upgrade", b"websocket")], "1.1", 0, (501, "upgrade")),
        ([(b"Upgrade", b"h2c, websocket")], "1.1", 0, (501, "upgrade")),
        ([], "2.0", 0, (505, "http_version")),
        ([], "0.9", 0, (505, "http_version")),
    ],
)
def test_framing_of_the_body(fields, version: str, length, why) -> None:
    """A body has a length or is chunked; every other coding, version and protocol is refused."""
    message = head(*fields, version=version)
    assert message.exchange.length == length
    assert refused(message) == why
    assert message.refusal is None or message.refusal.closes


@pytest.mark.parametrize(
    ("target", "host", "path", "why"),
    [
        (b"/", b"a", b"/", None),
        (b"/", b"", b"/", None),
        (b"/", b"[::1]:8443", b"/", None),
        (b"/", None, b"/", (400, "no_host")),
        (b"/", b"a b", b"/", (400, "bad_host")),
        (b"/", b"user@a", b"/", (400, "bad_host")),
        (b"/", b"a/b", b"/", (400, "bad_host")),
        (b"/a#b", b"a", b"/a#b", (400, "bad_target")),
        (b"/a\xff", b"a", b"/a\xff", (400, "bad_target")),
        (b"http://A:80/x?q", b"a:80", b"/x", None),
        (b"https://a", b"a", b"/", None),
        (b"http://a?q", b"a?q", b"/", (400, "bad_host")),
        (b"http://b/x", b"a", b"/x", (400, "bad_host")),
        (b"http://b/x", None, b"/x", (400, "no_host")),
        (b"http://user:secret@a/x", b"a", b"/x", (400, "bad_host")),
        (b"ftp://user:secret@a/x", b"a", b"/x", (400, "bad_target")),
        (b"*", b"a", b"/", (400, "bad_target")),
        (b"user:secret@a:443", b"a", b"/", (400, "bad_target")),
    ],
)
def test_target_and_host(target: bytes, host, path: bytes, why) -> None:
    """Where a request goes is said once, and a password in its target is not kept."""
    message = head(target=target, host=host)
    assert message.exchange.path == path
    assert refused(message) == why


def test_old_client_needs_no_host() -> None:
    """HTTP/1.0 has no Host field."""
    assert head(version="1.0", host=None).refusal is None


def test_connect_is_refused_and_its_authority_not_kept() -> None:
    """CONNECT is for forward proxies."""
    message = head(method=b"CONNECT", target=b"user:secret@a:443")
    assert refused(message) == (501, "connect")
    assert message.exchange.path == b"/"


@pytest.mark.parametrize("name", [b"Host", b"Content-Type", b"Origin", b"Access-Control-Request-Method"])
@pytest.mark.parametrize("target", [b"/score", b"http://gateway/score"])
def test_repeated_field(name: bytes, target: bytes) -> None:
    """A field that may stand once stands once, whatever form the target has."""
    assert head((name, b"a"), (name, b"a"), target=target).refusal.status == 400


def test_two_hosts_are_found_behind_other_repeats() -> None:
    """Two Host fields are refused although another field is repeated after them."""
    message = head((b"Host", b"b"), (b"Authorization", b"x"), (b"Authorization", b"y"))
    assert refused(message) == (400, "bad_host")


def test_two_credentials_are_left_to_the_policy() -> None:
    """Two Authorization fields are for the policy to refuse, in its own words."""
    assert head((b"Authorization", b"x"), (b"Authorization", b"y")).refusal is None


@pytest.mark.parametrize(
    ("value", "version", "expects", "why"),
    [
        (b"100-continue", "1.1", True, None),
        (b"100-Continue", "1.1", True, None),
        (b"100-continue", "1.0", False, None),
        (b"a-miracle", "1.1", False, (417, "expectation")),
    ],
)
def test_expect(value: bytes, version: str, expects: bool, why) -> None:
    """Only 100-continue is understood, and only from those who may send it."""
    message = head((b"Expect", value), version=version)
    assert message.expects_continue is expects
    assert refused(message) == why


@pytest.mark.parametrize("sent", [b"abc-123", b"a" * 100])
def test_request_id_is_echoed(sent: bytes) -> None:
    """A harmless request id of the client is kept."""
    exchange = head((b"X-Request-Id", sent), (b"x-ms-client-request-id", sent)).exchange
    assert exchange.request_id == exchange.client_request_id == sent.decode()


@pytest.mark.parametrize("sent", [b"", b"a" * 101, b"a b", b"a\xe9", b'"quoted"'])
def test_request_id_is_made(sent: bytes) -> None:
    """A request id that could hurt a log or a model is replaced, and two requests never share one."""
    one, other = (head((b"X-Request-Id", sent), (b"x-ms-client-request-id", sent)).exchange for _ in range(2))
    assert len(one.request_id) == 32
    assert one.request_id != other.request_id
    assert one.client_request_id == ""


def test_body_is_taken_once() -> None:
    """Body bytes are handed out once, whether they came in one piece or in several, and none while discarded."""
    message = head((b"Content-Length", b"9"))
    message.add(b"abc")
    assert message.take() == b"abc"
    message.add(b"de")
    message.add(b"f")
    assert (message.held, message.take(), message.held, message.take()) == (3, b"def", 0, b"")
    message.discard = True
    message.add(b"ghi")
    assert (message.size, message.held, message.take()) == (9, 0, b"")


@pytest.mark.parametrize(
    ("fields", "cheap"),
    [
        ([(b"Content-Length", b"%d" % MAX_DISCARDED)], True),
        ([(b"Content-Length", b"%d" % (MAX_DISCARDED + 1))], False),
        ([(b"Content-Length", b"5"), (b"Expect", b"100-continue")], False),
        ([(b"Transfer-Encoding", b"chunked")], False),
    ],
)
def test_cheap_to_skip(fields, cheap: bool) -> None:
    """A body is read to its end only if that is known to be cheap."""
    message = head(*fields)
    assert message.is_cheap_to_skip is cheap
    message.complete = True
    assert message.is_cheap_to_skip


def test_message_without_head() -> None:
    """A request of which no head has arrived is not skipped."""
    assert not Message().is_cheap_to_skip


def test_unreadable() -> None:
    """What nobody could read stands in log and metrics like a request, with an id."""
    message = Message()
    message.unreadable(Reply(400, "bad_request"), secure=False)
    assert message.exchange.request_id
    assert message.refusal.status == 400


NETWORKS = tuple(ipaddress.ip_network(text) for text in ("10.0.0.0/8", "2001:db8::/32"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.1", b"203.0.113.9", "192.0.2.1"),
        ("10.0.0.1", b"203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", b"1.1.1.1, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", b"203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", b"10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", b"", "10.0.0.1"),
        ("10.0.0.1", b"nonsense", "10.0.0.1"),
        ("10.0.0.1", b"203.0.113.9, nonsense", "10.0.0.1"),
        ("10.0.0.1", b"nonsense, 203.0.113.9", "203.0.113.9"),
        ("2001:db8::1", b"2a00::1", "2a00::1"),
        ("10.0.0.1", b"::ffff:203.0.113.9", "203.0.113.9"),
    ],
)
def test_client_address(peer: str, forwarded: bytes, address: str) -> None:
    """X-Forwarded-For is believed from the right, as far as trusted proxies go, and from nobody else."""
    assert client_address(peer, {b"x-forwarded-for": forwarded}, NETWORKS) == address


def test_nobody_is_trusted_by_default() -> None:
    """Without trusted proxies the peer is the client, whatever it says."""
    assert client_address("10.0.0.1", {b"x-forwarded-for": b"203.0.113.9"}, ()) == "10.0.0.1"


def test_control_reading_from_the_left_believes_the_client() -> None:
    """Control: reading the list from the left would let a client choose its address."""
    fields = {b"x-forwarded-for": b"127.0.0.1, 203.0.113.9"}
    leftmost = fields[b"x-forwarded-for"].split(b",")[0].decode()
    assert client_address("10.0.0.1", fields, NETWORKS) != leftmost


@given(st.ip_addresses())
def test_plain_address_is_stable(address) -> None:
    """An address is one text, however it came; an IPv4 client is not two clients."""
    plain = plain_address(str(address))
    assert plain_address(plain) == plain
    if address.version == 4:
        assert plain_address(f"::ffff:{address}") == str(address)
