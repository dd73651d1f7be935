"""Bytes into requests: the same in whatever pieces they come, and nothing after what two readers could differ on."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.problem import Reply
from gateway.proxy.framing import Framing

HEAD = b"POST /score HTTP/1.1\r\nHost: a\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def read(*pieces: bytes, max_head: int = 32_768):
    """The requests in these pieces, and the framing after them."""
    arrived = []
    cut = Framing(arrived.append, max_head=max_head, secure=True)
    for piece in pieces:
        cut.feed(piece)
    return arrived, cut


def seen(message):
    """What of a request anybody could tell apart; ids and times are its own."""
    exchange = message.exchange
    return (
        exchange.method,
        exchange.path,
        exchange.query,
        exchange.headers,
        exchange.fields,
        exchange.length,
        exchange.version,
        exchange.keep_alive,
        message.take(),
        message.complete,
        message.expects_continue,
        message.refusal and (message.refusal.status, message.refusal.reason),
    )


CONVERSATIONS = {
    "content-length": HEAD + b"Content-Length: 11\r\nX-A: b\r\n\r\n[[1, 2, 3]]",
    "chunked with trailers": CHUNKED + b"3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nX-Trailer: t\r\n\r\n",
    "pipelined": b"".join(
        [
            b"GET /a?b=c HTTP/1.1\r\nHost: a\r\n\r\n",
            HEAD + b"Content-Length: 2\r\n\r\n{}\r\n",
            b"GET /z HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        ]
    ),
    "h2c offered": b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
    "good, then garbage": HEAD + b"Content-Length: 2\r\n\r\n{}" + b"\x00\x01\x02 HTTP/1.1\r\n\r\n",
    "bad chunk": CHUNKED + b"3\r\nabc\r\nzz\r\n",
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "expects": HEAD + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
    "data behind close": HEAD + b"Content-Length: 2\r\nConnection: close\r\n\r\n{}GET / HTTP/1.1\r\nHost: a\r\n\r\n",
}


@st.composite
def _cuts(draw):
    name = draw(st.sampled_from(sorted(CONVERSATIONS)))
    data = CONVERSATIONS[name]
    places = sorted(set(draw(st.lists(st.integers(1, len(data) - 1), max_size=12))))
    return name, [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


@settings(max_examples=300, deadline=None)
@given(_cuts())
def test_any_split_gives_the_same_requests(cut) -> None:
    """However the network cuts a conversation, the same requests come out of it, good and bad."""
    name, pieces = cut
    whole, _ = read(CONVERSATIONS[name])
    split, _ = read(*pieces)
    assert [seen(message) for message in split] == [seen(message) for message in whole]


def test_control_a_reader_of_single_reads_differs() -> None:
    """Control: a reader that begins anew with every read sees other requests, so the property above is not empty."""

    class Forgetful(Framing):
        def feed(self, data):
            self._parser = httptools.HttpRequestParser(self)
            super().feed(data)

    data = CONVERSATIONS["content-length"]
    arrived = []
    cut = Forgetful(arrived.append, max_head=32_768, secure=True)
    cut.feed(data[:20])
    cut.feed(data[20:])
    assert [message.exchange.path for message in arrived] != [b"/score"]


def test_body_and_trailer() -> None:
    """A chunked body is put together, and its trailer never becomes a header."""
    (message,), _ = read(CONVERSATIONS["chunked with trailers"])
    assert message.take() == b"abcdefg"
    assert b"x-trailer" not in message.exchange.fields
    assert message.exchange.length is None


@pytest.mark.parametrize("field", [b"X: " + b"a" * 40_000, b"\r\n".join([b"X: " + b"a" * 2_000] * 20)])
def test_long_trailer_in_one_read(field: bytes) -> None:
    """A trailer longer than a head may be is refused also when it is here whole in one read."""
    (message,), cut = read(CHUNKED + b"3\r\nabc\r\n0\r\n" + field + b"\r\n\r\n")
    assert message.refusal.status == 431
    assert cut.broken


def test_many_upgrades_in_one_read() -> None:
    """A thousand pipelined requests that offer h2c are a thousand requests."""
    one = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    arrived, cut = read(one * 1000)
    assert len(arrived) == 1000
    assert not cut.broken
    assert all(message.complete and message.refusal is None for message in arrived)


def test_garbage_behind_an_upgrade() -> None:
    """What follows an offered upgrade is read as strictly as anything else."""
    arrived, cut = read(
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + b"\x00\x01 HTTP/1.1\r\n\r\n"
    )
    assert [message.refusal and message.refusal.status for message in arrived] == [None, 400]
    assert cut.broken


@pytest.mark.parametrize("framed", [b"Content-Length: 30\r\n", b"Transfer-Encoding: chunked\r\n"])
@pytest.mark.parametrize("offer", [b"h2c", b"websocket"])
def test_body_behind_an_upgrade_is_no_request(framed: bytes, offer: bytes) -> None:
    """The body of a request that offers an upgrade is never read as the next request."""
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    arrived, cut = read(HEAD + framed + b"Connection: upgrade\r\nUpgrade: " + offer + b"\r\n\r\n" + smuggled, smuggled)
    assert [message.exchange.path for message in arrived] == [b"/score"]
    assert arrived[0].refusal.status == 501
    assert cut.broken


def test_control_the_parser_alone_would_be_smuggled_past() -> None:
    """Control: httptools itself takes the body behind an offered upgrade for what follows the request."""
    seen_paths = []

    class Events:
        def on_url(self, url):
            seen_paths.append(url)

    data = (
        HEAD + b"Content-Length: 30\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n" + b"GET /smuggled HTTP/1.1\r\n\r\n"
    )
    with pytest.raises(httptools.HttpParserUpgrade) as stopped:
        httptools.HttpRequestParser(Events()).feed_data(data)
    httptools.HttpRequestParser(Events()).feed_data(data[stopped.value.args[0] :])
    assert seen_paths == [b"/score", b"/smuggled"]


def test_connect_ends_the_conversation() -> None:
    """CONNECT is refused, and what a client would send through the tunnel is read by nobody."""
    arrived, _ = read(b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\nGET /inner HTTP/1.1\r\nHost: a\r\n\r\n")
    assert [message.refusal.status for message in arrived] == [501]


BAD_HEADS = {
    "both framings": HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "both framings, other order": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "length list": HEAD + b"Content-Length: 3, 3\r\n\r\nabc",
    "signed length": HEAD + b"Content-Length: +3\r\n\r\nabc",
    "negative length": HEAD + b"Content-Length: -3\r\n\r\nabc",
    "underscored length": HEAD + b"Content-Length: 1_0\r\n\r\nabc",
    "empty length": HEAD + b"Content-Length: \r\n\r\nabc",
    "endless length": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "two codings": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding with a tab": HEAD + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "obs-fold": HEAD + b"X-A: b\r\n c\r\n\r\n",
    "bare LF": b"GET / HTTP/1.1\nHost: a\n\n",
    "bare LF after a field": HEAD + b"X-A: b\nX-C: d\r\n\r\n",
    "bare CR": HEAD + b"X-A: b\rX-C: d\r\n\r\n",
    "space before the colon": HEAD + b"X-A : b\r\n\r\n",
    "space before the first field": b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "no field name": HEAD + b": b\r\n\r\n",
    "NUL in a value": HEAD + b"X-A: b\x00c\r\n\r\n",
    "NUL in a name": HEAD + b"X\x00A: b\r\n\r\n",
    "raw bytes in the target": b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    "no path": b"GET ?q HTTP/1.1\r\nHost: a\r\n\r\n",
    "unknown method": b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n",
    "TLS to a plain port": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "other protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
}


@pytest.mark.parametrize("name", BAD_HEADS)
def test_bad_head_is_400(name: str) -> None:
    """What two readers could read differently is refused, closes, and hides nothing behind it."""
    arrived, cut = read(BAD_HEADS[name], b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
    (message,) = arrived
    assert (message.refusal.status, message.refusal.closes) == (400, True)
    assert "HTTP/1.1" in message.refusal.detail
    assert cut.broken


BAD_CHUNKS = [
    b"+3\r\nabc\r\n",
    b"-3\r\nabc\r\n",
    b"0x3\r\nabc\r\n",
    b"1_0\r\nabc\r\n",
    b" 3\r\nabc\r\n",
    b"3 \r\nabc\r\n",
    b"\r\nabc\r\n",
    b"3\nabc\r\n",
    b"3;a=\x00\r\nabc\r\n",
    b'3;a="\n"\r\nabc\r\n',
    b"FFFFFFFFFFFFFFFFF\r\nabc\r\n",
    b"3\r\nabcd\r\n",
    b"3\r\nabc\r\n0\r\nContent-Length: 3\r\n\r\n",
]


@pytest.mark.parametrize("chunk", BAD_CHUNKS)
def test_bad_chunk_is_400(chunk: bytes) -> None:
    """A body whose framing is broken refuses its own request, which never becomes complete."""
    (message,), cut = read(CHUNKED, chunk)
    assert (message.refusal.status, message.refusal.closes, message.complete) == (400, True, False)
    assert cut.broken


def test_refusal_of_the_head_outlives_a_bad_body() -> None:
    """A request that is refused for its head keeps that refusal when its body proves to be bad as well."""
    (message,), _ = read(HEAD + b"Transfer-Encoding: identity\r\n\r\n")
    assert message.refusal.status == 501


def test_head_limit_counts_target_and_fields() -> None:
    """A head may be as large as the limit says, by target or by fields, and no larger."""
    for long in (b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n"):
        (fits,), _ = read(long % (b"x" * 1980), max_head=2000)
        assert fits.refusal is None
        (large,), _ = read(long % (b"x" * 2000), max_head=2000)
        assert large.refusal.status == 431


def test_many_fields() -> None:
    """A head with a thousand small fields is refused by their number."""
    (message,), _ = read(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 1000 + b"\r\n")
    assert message.refusal.status == 431


@pytest.mark.parametrize("endless", [b"GET /", HEAD + b"X-A: ", HEAD + b"X-"])
def test_never_ending_head(endless: bytes) -> None:
    """A head that never ends is refused soon after the limit, and nothing is kept of what follows."""
    arrived, cut = read(endless, *[b"a" * 1000] * 34, max_head=32_768)
    assert [message.refusal.status for message in arrived] == [431]
    cut.feed(b"a" * 1_000_000)
    assert len(arrived) == 1


def test_head_limit_is_the_same_in_small_pieces() -> None:
    """A head of the largest size passes byte by byte as well."""
    data = b"GET / HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n" % (b"x" * 1980)
    (message,), _ = read(*(data[at : at + 1] for at in range(len(data))), max_head=2000)
    assert message.refusal is None


@pytest.mark.parametrize("junk", [b"X-Trailer: " + b"t" * 1000, b""])
def test_endless_trailer_or_extension(junk: bytes) -> None:
    """A body that is nothing but framing is cut off, although no field of it is ever kept."""
    start = b"0\r\nX-T: " if junk else b"1;x="
    pieces = [b"y" * 5000] * 20
    (message,), cut = read(CHUNKED + start, *pieces)
    assert message.refusal.status == 400
    assert cut.broken


def test_small_chunks_are_legal() -> None:
    """A megabyte in chunks of one byte is slow, but it is a body."""
    (message,), cut = read(CHUNKED, *[b"1\r\nx\r\n" * 1000] * 100, b"0\r\n\r\n")
    assert message.complete
    assert message.size == 100_000
    assert not cut.broken


def test_first_read_may_be_large() -> None:
    """What was read together with other requests is not counted as framing of the last one."""
    many = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 5000
    arrived, cut = read(many + CHUNKED + b"3\r\nabc\r\n", b"0\r\n\r\n")
    assert len(arrived) == 5001
    assert arrived[-1].complete
    assert not cut.broken


def test_refuse_stands_for_an_unread_request() -> None:
    """A head that is given up on becomes a request of its own: answered, counted and logged like any other."""
    arrived, cut = read(b"GET / HT")
    assert cut.in_head
    cut.refuse(Reply(408, "head_timeout", closes=True))
    (message,) = arrived
    assert message.exchange.method == b""
    assert message.exchange.secure
    assert len(message.exchange.request_id) == 32
    assert not cut.in_head


def test_error_of_ours_is_told_as_ours(caplog) -> None:
    """What goes wrong in the gateway itself is a 500 and in its log, not a broken loop and not the client's fault."""
    arrived = []

    def fail(message):
        arrived.append(message)
        if len(arrived) == 1:
            raise RuntimeError("ours")

    cut = Framing(fail, max_head=1000, secure=False)
    cut.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert arrived[0].refusal.status == 500
    assert "RuntimeError: ours" in caplog.text
