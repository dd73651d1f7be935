"""What a hostile backend says, and what a client may see of it: the right answer, an error, a broken connection."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from enum import Enum

RIGHT = b"right"
OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"Content-Length: 5\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
ANSWER = OK + LENGTH + b"\r\n" + RIGHT
LEAK = b"X-Leaked: leaked\r\n"
"""No client may ever see this word."""


class Then(Enum):
    """What the backend does once it has said it."""

    STAY = "keep the connection, as if nothing were the matter"
    CLOSE = "close"
    RESET = "reset"
    HANG = "say nothing more until the gateway leaves"
    REPEAT = "say the last piece again and again"


@dataclass(frozen=True)
class Lie:
    """One way to answer. `pieces` are sent one by one. `may`: what a client may see of it.

    whole: status `status`, body `body`; a number: that status, from the gateway; broken: a visibly cut answer.
    `greets`: it is said when a connection comes up, before any request. `asked`: the request line's method.
    `large`: the request has a body that does not fit into one packet, and the answer does not wait for it.
    `settles`: something still happens to the connection after a good answer; no other request is sent into that moment.
    """

    name: str
    pieces: tuple[bytes, ...]
    then: Then
    may: frozenset[str | int]
    status: int = 200
    body: bytes = RIGHT
    greets: bool = False
    asked: str = "POST"
    large: bool = False
    settles: bool = False
    pause: float = field(default=0.002)


def _lie(name: str, *pieces: bytes, then: Then = Then.HANG, may: tuple[str | int, ...] = (502,), **more: object) -> Lie:
    return Lie(name, pieces, then, frozenset(may), **more)  # type: ignore[arg-type]


def _whole(name: str, *pieces: bytes, then: Then = Then.STAY, **more: object) -> Lie:
    return _lie(name, *pieces, then=then, may=("whole",), **more)


def _broken(name: str, *pieces: bytes, then: Then, may: tuple[str | int, ...] = ("broken",), **more: object) -> Lie:
    return _lie(name, *pieces, then=then, may=may, **more)


def _head(name: str, fields: bytes) -> Lie:
    """A head that is none; its body would be right."""
    return _lie(f"head-{name}", OK + fields + LENGTH + b"\r\n" + RIGHT, then=Then.STAY)


_CUT = (502, "broken")

FRAMING = [
    _lie("both-lengths", OK + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n5\r\nright\r\n0\r\n\r\n"),
    _lie("both-lengths-other-order", OK + b"Transfer-Encoding: chunked\r\n" + LENGTH + b"\r\n5\r\nright\r\n0\r\n\r\n"),
    _lie("two-lengths", OK + LENGTH + b"Content-Length: 3\r\n\r\nright"),
    _lie("two-lengths-alike", OK + LENGTH + LENGTH + b"\r\nright"),
    _lie("length-list", OK + b"Content-Length: 5, 5\r\n\r\nright"),
    _lie("length-negative", OK + b"Content-Length: -5\r\n\r\nright"),
    _lie("length-plus", OK + b"Content-Length: +5\r\n\r\nright"),
    _lie("length-hex", OK + b"Content-Length: 0x5\r\n\r\nright"),
    _lie("length-empty", OK + b"Content-Length:\r\n\r\nright"),
    _lie("length-overflow", OK + b"Content-Length: 18446744073709551621\r\n\r\nright"),
    _broken("length-huge", OK + b"Content-Length: 9223372036854775807\r\n\r\nright", then=Then.CLOSE, may=_CUT),
    _lie("coding-gzip", OK + b"Transfer-Encoding: gzip\r\n\r\nright", then=Then.CLOSE),
    _lie("coding-gzip-chunked", OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nright\r\n0\r\n\r\n"),
    _lie("coding-identity", OK + b"Transfer-Encoding: identity\r\n" + LENGTH + b"\r\nright"),
    _lie("coding-twice", OK + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n5\r\nright\r\n0\r\n\r\n"),
    _lie("coding-xchunked", OK + b"Transfer-Encoding: xchunked\r\n\r\n5\r\nright\r\n0\r\n\r\n", then=Then.CLOSE),
]

CHUNKS = [
    _broken(f"chunk-{name}", CHUNKED, data, then=Then.HANG, may=_CUT)
    for name, data in {
        "plus": b"+5\r\nright\r\n0\r\n\r\n",
        "minus": b"-5\r\nright\r\n0\r\n\r\n",
        "0x": b"0x5\r\nright\r\n0\r\n\r\n",
        "underscore": b"0_5\r\nright\r\n0\r\n\r\n",
        "space": b"5 \r\nright\r\n0\r\n\r\n",
        "letter": b"five\r\nright\r\n0\r\n\r\n",
        "overflow": b"10000000000000005\r\nright\r\n0\r\n\r\n",
        "bare-lf": b"5\nright\n0\n\n",
        "no-line-end": b"5\r\nright0\r\n\r\n",
        "too-long": b"5\r\nrightful\r\n0\r\n\r\n",
        "bad-extension": b"5;\x00\r\nright\r\n0\r\n\r\n",
        "trailer-without-colon": b"5\r\nright\r\n0\r\nleaked\r\n\r\n",
        "trailer-length": b"5\r\nright\r\n0\r\nContent-Length: 9\r\n\r\n",
    }.items()
] + [
    _whole("chunk-trailers", CHUNKED + b"5\r\nright\r\n0\r\n" + LEAK + b"\r\n"),
    _whole("chunk-extensions", CHUNKED + b"5;a=leaked\r\nright\r\n0\r\n\r\n"),
    _broken("chunk-extension-flood", CHUNKED + b"5;", b"a" * 8192, then=Then.REPEAT, may=_CUT),
    _broken("chunk-trailer-flood", CHUNKED + b"5\r\nright\r\n0\r\n", LEAK * 500, then=Then.REPEAT, may=_CUT),
    _broken("chunk-cut-in-size", CHUNKED + b"5\r\nright\r\n", then=Then.CLOSE),
    _broken("chunk-cut-in-data", CHUNKED + b"5\r\nrig", then=Then.CLOSE),
    _broken("chunk-cut-before-the-end", CHUNKED + b"5\r\nright\r\n0\r\n", then=Then.CLOSE),
    _broken("chunk-reset", CHUNKED + b"5\r\nright\r\n", then=Then.RESET, may=_CUT, pause=0.05),
]

CUTS = [
    _lie("says-nothing-and-closes", then=Then.CLOSE),
    _lie("says-nothing-and-resets", then=Then.RESET),
    _lie("half-a-head-and-closes", OK + LENGTH, then=Then.CLOSE),
    _lie("half-a-head-and-resets", OK + LENGTH, then=Then.RESET),
    _broken("body-too-short", OK + b"Content-Length: 50\r\n\r\nright", then=Then.CLOSE),
    _broken("body-too-short-and-reset", OK + b"Content-Length: 50\r\n\r\nright", then=Then.RESET, may=_CUT, pause=0.05),
    _broken("long-body-reset", OK + b"Content-Length: 5000000\r\n\r\n", b"r" * 4_000_000, then=Then.RESET, pause=0.05),
    _broken("body-never-comes", OK + LENGTH + b"\r\n", then=Then.HANG),
    _broken("body-stalls", CHUNKED + b"5\r\nright\r\n", then=Then.HANG),
    _broken("body-drips-for-ever", OK + b"Content-Length: 100000\r\n\r\n", b"r", then=Then.REPEAT, pause=0.02),
    _broken("reset-without-a-length", OK + b"\r\nright", then=Then.RESET, pause=0.05, may=_CUT),
    _whole("no-length", OK + b"\r\nri", b"ght", then=Then.CLOSE),
    _whole("no-length-and-nothing", OK + b"\r\n", then=Then.CLOSE, body=b""),
    _whole("long-without-a-length", OK + b"\r\n", *[b"r" * 100_000] * 20, then=Then.CLOSE, body=b"r" * 2_000_000),
    _whole("body-too-long", OK + LENGTH + b"\r\nrightleaked"),
    _whole("body-too-long-and-closes", OK + LENGTH + b"\r\nright" + b"leaked" * 10_000, then=Then.CLOSE),
    _whole("slow-drip", *[bytes([byte]) for byte in ANSWER], pause=0.005),
]

INTERIMS = [
    _whole("continue-first", b"HTTP/1.1 100 Continue\r\n\r\n", ANSWER),
    _whole("hints-first", b"HTTP/1.1 103 Early Hints\r\n" + LEAK + b"\r\n", ANSWER),
    _whole(
        "ten-interims",
        b"HTTP/1.1 102 Processing\r\n" + LEAK + b"\r\n" * 1,
        *[b"HTTP/1.1 102 Processing\r\n\r\n"] * 9,
        ANSWER,
    ),
    _whole(
        "interim-nominates",
        b"HTTP/1.1 103 X\r\nConnection: x-kept\r\n\r\n",
        OK + b"X-Kept: kept\r\n" + LENGTH + b"\r\nright",
    ),
    _lie("interim-storm", b"HTTP/1.1 100 Continue\r\n\r\n" * 100, then=Then.REPEAT),
    _lie("interim-storm-slow", b"HTTP/1.1 100 Continue\r\n\r\n", then=Then.REPEAT, may=(502, 504), pause=0.05),
    _lie("interim-with-length", b"HTTP/1.1 100 Continue\r\nContent-Length: 6\r\n\r\nleaked" + ANSWER),
    _lie(
        "interim-with-chunks",
        b"HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nleaked\r\n0\r\n\r\n" + ANSWER,
    ),
    _lie("interim-and-silence", b"HTTP/1.1 100 Continue\r\n\r\n", may=(504,)),
    _lie("interim-and-close", b"HTTP/1.1 100 Continue\r\n\r\n", then=Then.CLOSE),
    _lie("switching", b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nleaked"),
    _lie("switching-quietly", b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + ANSWER),
]

HEADS = [
    _head("folded", b"X: a\r\n leaked\r\n"),
    _head("nul", b"X: a\x00leaked\r\n"),
    _head("control", b"X: a\x01leaked\r\n"),
    _head("bare-lf", b"X: a\nX-Leaked: leaked\r\n"),
    _head("bare-cr", b"X: a\rX-Leaked: leaked\r\n"),
    _head("space-before-colon", b"X-Leaked : leaked\r\n"),
    _head("no-colon", b"leaked\r\n"),
    _head("no-name", b": leaked\r\n"),
    _head("name-of-bytes", b"X\xff: leaked\r\n"),
    _head("many-fields", LEAK * 5000),
    _head("long-field", b"X-Leaked: " + b"a" * 1_000_000 + b"\r\n"),
    _lie("head-all-lf", ANSWER.replace(b"\r\n", b"\n")),
    _lie("head-endless", OK, LEAK * 100, then=Then.REPEAT),
    _lie("head-drips-for-ever", OK, b"X: y\r\n", then=Then.REPEAT, may=(502, 504), pause=0.05),
    _lie("status-line-endless", b"HTTP/1.1 200 " + b"a" * 8192, b"a" * 8192, then=Then.REPEAT),
    _lie("status-line-drips", b"HTTP/1.1 200 a", b"a", then=Then.REPEAT, may=(504,), pause=0.05),
    _lie("status-000", b"HTTP/1.1 000 None\r\n" + LENGTH + b"\r\nright", may=(502, 504)),
    _lie("status-099", b"HTTP/1.1 099 None\r\n" + LENGTH + b"\r\nright", may=(502, 504)),
    _lie("status-of-two-digits", b"HTTP/1.1 20 OK\r\n" + LENGTH + b"\r\nright"),
    _lie("status-of-four-digits", b"HTTP/1.1 2000 OK\r\n" + LENGTH + b"\r\nright"),
    _lie("status-of-letters", b"HTTP/1.1 OK\r\n" + LENGTH + b"\r\nright"),
    _whole("status-999", b"HTTP/1.1 999 None\r\n" + LENGTH + b"\r\nright", status=999),
    _whole("status-without-reason", b"HTTP/1.1 200\r\n" + LENGTH + b"\r\nright"),
    _whole("reason-of-controls", b"HTTP/1.1 200 leaked\x00\x1b[31m\r\n" + LENGTH + b"\r\nright"),
    _whole("no-content-with-a-body", b"HTTP/1.1 204 No\r\nContent-Length: 6\r\n\r\nleaked", status=204, body=b""),
    _whole("not-modified-with-a-length", b"HTTP/1.1 304 No\r\n" + LENGTH + b"\r\n", status=304, body=b""),
    _whole("not-modified-with-a-body", b"HTTP/1.1 304 No\r\nContent-Length: 6\r\n\r\nleaked", status=304, body=b""),
    _whole("head-asked-body-given", OK + b"Content-Length: 6\r\n\r\nleaked", asked="HEAD", body=b""),
    _whole("head-asked-chunks-given", CHUNKED + b"6\r\nleaked\r\n0\r\n\r\n", asked="HEAD", body=b""),
    _whole("nominated-fields", OK + b"Connection: X-Leaked\r\n" + LEAK + LENGTH + b"\r\nright"),
    _whole("nominated-length", OK + b"Connection: content-length\r\n" + LENGTH + b"\r\nright"),
    _whole(
        "hop-by-hop-fields",
        OK + b"Keep-Alive: leaked\r\nUpgrade: leaked\r\nTrailer: leaked\r\n" + LENGTH + b"\r\nright",
    ),
    _whole("upgrade-offered", OK + b"Connection: Upgrade\r\nUpgrade: leaked\r\n" + LENGTH + b"\r\nright"),
    _whole("cors-of-its-own", OK + b"Access-Control-Allow-Origin: leaked\r\n" + LENGTH + b"\r\nright"),
    _whole("our-fields", OK + b"X-Request-Id: leaked\r\nServer-Timing: leaked\r\n" + LENGTH + b"\r\nright"),
]

STRANGERS = [
    _lie("garbage", bytes(range(256)) * 10),
    _lie("zeros", bytes(10_000)),
    _lie("ssh", b"SSH-2.0-OpenSSH_9.2\r\n"),
    _lie("tls-alert", b"\x15\x03\x03\x00\x02\x02\x28"),
    _lie("html", b"<html>leaked</html>", then=Then.CLOSE),
    _lie("icecast", b"ICY 200 OK\r\n\r\nleaked", then=Then.CLOSE),
    _lie("http2", b"\x00\x00\x12\x04\x00\x00\x00\x00\x00"),
    _lie("a-request", b"GET /leaked HTTP/1.1\r\nHost: leaked\r\n\r\n"),
    _lie("never-answers", may=(504,)),
    _lie("closes-when-it-accepts", then=Then.CLOSE, may=(502, 503), greets=True),
    _lie("resets-when-it-accepts", then=Then.RESET, may=(502, 503), greets=True),
    _lie("answers-before-it-is-asked", ANSWER, may=("whole", 502, 503), greets=True, then=Then.STAY),
    _lie("banner-when-it-accepts", b"220 leaked ESMTP\r\n", may=(502, 503), greets=True),
]

KEPT = [
    _whole("closes-after-each", OK + b"Connection: close\r\n" + LENGTH + b"\r\nright", then=Then.CLOSE),
    _whole("closes-without-a-word", ANSWER, then=Then.CLOSE, settles=True, pause=0),
    _whole("resets-after-it", ANSWER, then=Then.RESET, pause=0.05, settles=True),
    _whole("says-close-and-stays", OK + b"Connection: close\r\n" + LENGTH + b"\r\nright"),
    _whole("old-with-length", b"HTTP/1.0 200 OK\r\n" + LENGTH + b"\r\nright", then=Then.CLOSE),
    _whole("old-kept", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + LENGTH + b"\r\nright"),
    _whole("old-without-length", b"HTTP/1.0 200 OK\r\n\r\nright", then=Then.CLOSE),
    _lie(
        "old-in-chunks",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nright\r\n0\r\n\r\n",
        then=Then.CLOSE,
        may=("whole", 502),
    ),
    _whole("two-answers-at-once", ANSWER + OK + b"Content-Length: 6\r\n\r\nleaked", settles=True),
    _whole("three-answers-at-once", ANSWER + (OK + b"Content-Length: 6\r\n\r\nleaked") * 2, settles=True),
    _whole("another-answer-later", ANSWER, OK + b"Content-Length: 6\r\n\r\nleaked", pause=0.03, settles=True),
    _whole("half-an-answer-later", ANSWER, OK + b"Content-Length: 600\r\n", pause=0.03, settles=True),
    _whole("junk-later", ANSWER, b"leaked", pause=0.03, settles=True),
    _whole("line-ends-later", ANSWER, b"\r\n\r\n", pause=0.03, settles=True),
    _whole("interim-later", ANSWER, b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.03, settles=True),
    _whole("early-and-stays", ANSWER, large=True),
    _lie("early-and-closes", ANSWER, large=True, then=Then.CLOSE, may=("whole", 502), settles=True),
    _lie(
        "early-and-resets", ANSWER, large=True, then=Then.RESET, may=("whole", "broken", 502), pause=0.05, settles=True
    ),
    _whole(
        "early-refusal",
        b"HTTP/1.1 413 Too Large\r\nConnection: close\r\n" + LENGTH + b"\r\nright",
        large=True,
        status=413,
        settles=True,
    ),
    _whole(
        "zipped",
        OK
        + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(gzip.compress(bytes(10**6), mtime=0))
        + gzip.compress(bytes(10**6), mtime=0),
        body=gzip.compress(bytes(10**6), mtime=0),
    ),
]

ALL: list[Lie] = [*FRAMING, *CHUNKS, *CUTS, *INTERIMS, *HEADS, *STRANGERS, *KEPT]
assert len({lie.name for lie in ALL}) == len(ALL), "two lies have the same name"
