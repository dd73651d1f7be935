"""What a client says for us, expectations, upgrades, pipelines, and clients that leave."""

from __future__ import annotations

from case import HIDDEN, Case, Then, head, one_of, passes, refused

TWO = b"Content-Length: 2"
GOOD = head(TWO) + b"{}"


def _said(name: str, *lines: bytes) -> Case:
    """It passes; that nothing of "spoofed" reaches the backend is judged for every request there."""
    return passes(f"said-{name}", head(*lines, TWO) + b"{}")


SAID = [
    _said("forwarded-for", b"X-Forwarded-For: spoofed"),
    _said("forwarded-for-twice", b"X-Forwarded-For: 10.6.6.6", b"x-forwarded-for: spoofed"),
    _said("forwarded-proto", b"X-Forwarded-Proto: spoofed"),
    _said("forwarded-host", b"X-Forwarded-Host: spoofed"),
    _said("forwarded-port", b"X-Forwarded-Port: spoofed"),
    _said("forwarded-prefix", b"X-Forwarded-Prefix: /spoofed"),
    _said("forwarded", b"Forwarded: for=spoofed"),
    _said("real-ip", b"X-Real-IP: spoofed"),
    _said("caller", b"X-Scoregate-Caller: spoofed"),
    _said("key-id", b"X-Scoregate-Key-Id: spoofed"),
    _said("auth-type", b"X-Scoregate-Auth-Type: spoofed"),
    _said("anything-of-ours", b"X-Scoregate-Anything: spoofed"),
    _said("underscores", b"X_Forwarded_For: spoofed", b"X_Scoregate_Caller: spoofed", b"X-Real_IP: spoofed"),
    _said("host-underscore", b"_Host: spoofed", b"HTTP_HOST: spoofed"),
    _said("authorization-underscore", b"HTTP_AUTHORIZATION: Bearer spoofed"),
    _said("request-id-junk", b'X-Request-Id: "spoofed" {}'),
    _said("request-id-long", b"X-Request-Id: spoofed" + b"a" * 200),
    _said("proxy-credential", b"Proxy-Authorization: Bearer spoofed"),
    _said("hop-by-hop", b"Keep-Alive: spoofed", b"Proxy-Connection: spoofed", b"TE: spoofed"),
    _said("nominates-length", b"Connection: content-length"),
    _said("nominates-credential", b"Connection: authorization"),
    _said("nominates-host", b"Connection: host"),
    _said("nominates-forwarded-for", b"Connection: x-forwarded-for", b"X-Forwarded-For: spoofed"),
    _said("nominates-identity", b"Connection: x-scoregate-caller, x-request-id"),
    _said("nominates-own", b"Connection: x-own", b"X-Own: spoofed"),
    _said("nominates-own-then-closes", b"Connection: close, X-Own", b"X-Own: spoofed"),
    _said("nominates-in-two-fields", b"Connection: keep-alive", b"Connection: X-Own", b"X-Own: spoofed"),
    _said("nominates-oddly", b"Connection: ,,keep-alive ,\tx-own,", b"X-Own: spoofed"),
    passes(
        "said-nominates-coding",
        head(b"Connection: transfer-encoding", b"Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n\r\n",
    ),
    refused("said-two-credentials", head(b"Authorization: Bearer spoofed", TWO) + b"{}", 400, 401),
    refused("said-two-types", head(b"Content-Type: a/b", b"Content-Type: c/d", TWO) + b"{}"),
]

EXPECTATIONS = [
    passes("expect-and-body-at-once", head(b"Expect: 100-continue", TWO) + b"{}"),
    passes("expect-upper-case", head(b"Expect: 100-CONTINUE", TWO) + b"{}"),
    Case("expect-and-wait", (head(b"Expect: 100-continue", TWO), b"{}"), (one_of(200),), (b"{}",)),
    passes("expect-without-body", head(b"Expect: 100-continue"), b""),
    passes("expect-in-1.0", head(b"Expect: 100-continue", TWO, start=b"POST @TARGET@ HTTP/1.0") + b"{}"),
    passes("expect-in-chunks", head(b"Expect: 100-continue", b"Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n\r\n"),
    refused("expect-other", head(b"Expect: 200-ok", TWO) + b"{}", 417),
    refused("expect-twice", head(b"Expect: 100-continue", b"Expect: 100-continue", TWO) + b"{}", 417),
    refused("expect-list", head(b"Expect: 100-continue, spoofed", TWO) + b"{}", 417),
    refused("expect-empty", head(b"Expect:", TWO) + b"{}", 417),
    refused("expect-too-much", head(b"Expect: 100-continue", b"Content-Length: 1048577"), 413),
]

_WEBSOCKET = (b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"Sec-WebSocket-Version: 13")
_H2C = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__")

UPGRADES = [
    refused("upgrade-websocket", head(b"Connection: Upgrade", b"Upgrade: websocket", *_WEBSOCKET), 501),
    refused("upgrade-websocket-and-body", head(b"Connection: Upgrade", b"Upgrade: websocket", TWO) + b"{}", 501),
    refused("upgrade-websocket-then-request", head(b"Connection: Upgrade", b"Upgrade: websocket") + HIDDEN, 501),
    refused(
        "upgrade-websocket-then-frames", head(b"Connection: Upgrade", b"Upgrade: websocket") + b"\x81\x05hello", 501
    ),
    refused("upgrade-without-connection", head(b"Upgrade: websocket", TWO) + b"{}", 501),
    refused("upgrade-tls", head(b"Connection: Upgrade", b"Upgrade: TLS/1.0", TWO) + b"{}", 501),
    refused("upgrade-two", head(b"Connection: Upgrade", b"Upgrade: h2c, websocket", TWO) + b"{}", 501),
    refused(
        "upgrade-two-fields", head(b"Connection: Upgrade", b"Upgrade: h2c", b"Upgrade: websocket", TWO) + b"{}", 501
    ),
    refused("upgrade-h2", head(b"Connection: Upgrade", b"Upgrade: h2", TWO) + b"{}", 501),
    passes("upgrade-h2c", head(*_H2C), b""),
    refused("upgrade-h2c-and-body", head(*_H2C, b"Content-Length: %d" % len(HIDDEN)) + HIDDEN, 501),
    refused("upgrade-h2c-in-chunks", head(*_H2C, b"Transfer-Encoding: chunked") + b"0\r\n\r\n" + HIDDEN, 501),
    passes("upgrade-h2c-twice", head(*_H2C) * 2, b"", b""),
    Case("upgrade-h2c-then-request", (head(*_H2C) + HIDDEN,), (one_of(200), one_of(401)), (b"",)),
    Case(
        "upgrade-h2c-then-preface",
        (head(*_H2C) + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",),
        (one_of(200), one_of(400)),
        (b"",),
    ),
    Case("upgrade-h2c-then-junk", (head(*_H2C) + b"\x00\x01spoofed\r\n",), (one_of(200), one_of(400)), (b"",)),
]

PIPELINES = [
    passes("pipeline-two", GOOD * 2, b"{}", b"{}"),
    passes("pipeline-fifty", GOOD * 50, *[b"{}"] * 50),
    Case("pipeline-good-then-bad", (GOOD + b"spoofed\r\n\r\n",), (one_of(200), one_of(400)), (b"{}",)),
    Case(
        "pipeline-good-then-two-lengths",
        (GOOD + head(TWO, b"Content-Length: 3") + b"{}" + GOOD,),
        (one_of(200), one_of(400)),
        (b"{}",),
    ),
    Case(
        "pipeline-two-good-then-bad-chunk",
        (GOOD + GOOD + head(b"Transfer-Encoding: chunked") + b"x\r\n",),
        (one_of(200), one_of(200), one_of(400)),
        (b"{}", b"{}"),
        bad_answers=(one_of(401), one_of(401), one_of(400, 401)),
    ),
    refused("pipeline-bad-then-good", b"spoofed\r\n\r\n" + GOOD),
    refused("pipeline-refused-then-good", head(b"Host: spoofed", TWO) + b"{}" + GOOD),
    passes("pipeline-after-close", head(b"Connection: close", TWO) + b"{}" + GOOD),
    passes("pipeline-junk-after-close", head(b"Connection: close", TWO) + b"{}\x00spoofed"),
    passes("pipeline-after-1.0", head(TWO, start=b"POST @TARGET@ HTTP/1.0") + b"{}" + HIDDEN),
    passes("pipeline-empty-lines-between", GOOD + b"\r\n\r\n" + GOOD, b"{}", b"{}"),
    Case("pipeline-of-pieces", (GOOD * 2,), (one_of(200),) * 2, (b"{}", b"{}"), cut=7),
]


def _leaves(name: str, data: bytes, then: Then, *bodies: bytes) -> Case:
    """Nobody reads an answer; what the backend may see is the whole request or nothing."""
    return Case(f"leaves-{name}", (data,), (), bodies, then)


_HALF = head(b"Content-Length: 200000") + b"a" * 100_000
LEAVERS = [
    *(
        _leaves(f"{how}-{when}", data, then, *bodies)
        for how, then in (("closing", Then.LEAVE), ("resetting", Then.RESET))
        for when, data, bodies in (
            ("at-once", b"", ()),
            ("in-the-start-line", b"POST /api", ()),
            ("in-the-head", head(TWO)[:-9], ()),
            ("before-the-body", head(TWO), ()),
            ("in-the-body", head(TWO) + b"{", ()),
            ("in-a-large-body", _HALF, ()),
            ("in-a-chunk", head(b"Transfer-Encoding: chunked") + b"5\r\n{", ()),
            ("before-the-last-chunk", head(b"Transfer-Encoding: chunked") + b"2\r\n{}\r\n", ()),
            ("with-everything-sent", GOOD, (b"{}",)),
            ("in-a-second-request", GOOD + head(TWO), (b"{}",)),
        )
    ),
    _leaves("half-closing-in-the-body", head(TWO) + b"{", Then.HALF_CLOSE),
    _leaves("half-closing-in-a-chunk", head(b"Transfer-Encoding: chunked") + b"2\r\n{}\r\n", Then.HALF_CLOSE),
    _leaves("half-closing-in-the-head", head(TWO)[:-9], Then.HALF_CLOSE),
    _leaves("half-closing-with-everything-sent", GOOD, Then.HALF_CLOSE, b"{}"),
]

ALL: list[Case] = [*SAID, *EXPECTATIONS, *UPGRADES, *PIPELINES, *LEAVERS]
