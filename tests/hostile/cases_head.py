"""Start lines, header lines, targets and hosts."""

from __future__ import annotations

from case import HIDDEN, Case, closed, head, one_of, passes, refused, unfinished

TWO = b"Content-Length: 2"
_HOST_AND_KEY = b"Authorization: Bearer @KEY@\r\nContent-Length: 2\r\n"


def _start(name: str, line: bytes, *statuses: int) -> Case:
    return refused(f"start-{name}", head(TWO, start=line) + b"{}", *statuses)


STARTS = [
    _start("lower-case-method", b"post @TARGET@ HTTP/1.1"),
    _start("unknown-method", b"SCORE @TARGET@ HTTP/1.1", 400, 501),
    _start("no-method", b"@TARGET@ HTTP/1.1"),
    _start("method-with-nul", b"PO\x00ST @TARGET@ HTTP/1.1"),
    _start("space-first", b" POST @TARGET@ HTTP/1.1"),
    _start("tabs", b"POST\t@TARGET@\tHTTP/1.1"),
    _start("no-target", b"POST HTTP/1.1"),
    _start("empty-target", b"POST  HTTP/1.1"),
    _start("two-targets", b"POST @TARGET@ @TARGET@ HTTP/1.1"),
    _start("trailing-space", b"POST @TARGET@ HTTP/1.1 "),
    _start("trailing-junk", b"POST @TARGET@ HTTP/1.1 junk"),
    _start("nul-in-target", b"POST @TARGET@\x00 HTTP/1.1"),
    _start("control-in-target", b"POST @TARGET@\x01 HTTP/1.1"),
    _start("delete-in-target", b"POST @TARGET@\x7f HTTP/1.1"),
    _start("tab-in-target", b"POST @TARGET@&a=\tb HTTP/1.1"),
    _start("bytes-in-target", "POST @TARGET@&a=é HTTP/1.1".encode()),
    _start("fragment", b"POST @TARGET@#spoofed HTTP/1.1"),
    _start("bare-cr", b"POST @TARGET@\r HTTP/1.1"),
    _start("lower-case-protocol", b"POST @TARGET@ http/1.1"),
    _start("other-protocol", b"POST @TARGET@ HTTPS/1.1"),
    _start("space-in-protocol", b"POST @TARGET@ HTTP /1.1"),
    _start("version-1.2", b"POST @TARGET@ HTTP/1.2", 400, 505),
    _start("version-0.9", b"POST @TARGET@ HTTP/0.9", 400, 505),
    _start("version-2.0", b"POST @TARGET@ HTTP/2.0", 400, 505),
    _start("version-3.0", b"POST @TARGET@ HTTP/3.0", 400, 505),
    _start("version-11.1", b"POST @TARGET@ HTTP/11.1", 400, 505),
    _start("version-01.1", b"POST @TARGET@ HTTP/01.1", 400, 505),
    _start("version-1", b"POST @TARGET@ HTTP/1", 400, 505),
    _start("version-1.10", b"POST @TARGET@ HTTP/1.10", 400, 505),
    _start("version-minus", b"POST @TARGET@ HTTP/-1.1", 400, 505),
    _start("trace", b"TRACE @TARGET@ HTTP/1.1", 400, 405, 501),
    _start("connect-path", b"CONNECT @TARGET@ HTTP/1.1", 400, 405, 501),
    _start("connect", b"CONNECT @HOST@ HTTP/1.1", 400, 405, 501),
    _start("asterisk", b"OPTIONS * HTTP/1.1", 400, 404),
    _start("authority", b"POST @HOST@ HTTP/1.1"),
    _start("long-target", b"POST @TARGET@&a=" + b"a" * 40_000 + b" HTTP/1.1", 400, 414, 431),
    _start("longer-target", b"POST @TARGET@&a=" + b"a" * 200_000 + b" HTTP/1.1", 400, 414, 431),
    refused("start-connect-then-request", b"CONNECT @HOST@ HTTP/1.1\r\nHost: @HOST@\r\n\r\n" + HIDDEN, 400, 405, 501),
    refused(
        "start-connect-then-junk", b"CONNECT @HOST@ HTTP/1.1\r\nHost: @HOST@\r\n\r\nspoofed\x00\r\n", 400, 405, 501
    ),
    refused("start-lf-only", (head(TWO) + b"{}").replace(b"\r\n", b"\n")),
    refused("start-lf-after-it", head(TWO).replace(b"\r\n", b"\n", 1) + b"{}"),
    refused("start-cr-after-it", head(TWO).replace(b"\r\n", b"\r", 1) + b"{}"),
    closed("start-0.9", b"GET @TARGET@\r\n\r\n"),
    unfinished("start-0.9-lf", b"GET @TARGET@\n", statuses=(400, 408, 505)),
    closed("start-http2-preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"),
    closed("start-tls-hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256))),
    closed("start-ssh", b"SSH-2.0-OpenSSH_9.2\r\n"),
    closed("start-socks", b"\x05\x01\x00"),
    closed("start-zeros", bytes(4096)),
    closed("start-noise", bytes(range(255, -1, -1)) * 4),
    passes("start-after-empty-lines", b"\r\n\r\n" + head(TWO) + b"{}"),
    passes("start-two-spaces", head(TWO, start=b"POST  @TARGET@ HTTP/1.1") + b"{}"),
    passes("start-1.0", head(TWO, start=b"POST @TARGET@ HTTP/1.0") + b"{}"),
    passes("start-1.0-kept", head(TWO, b"Connection: keep-alive", start=b"POST @TARGET@ HTTP/1.0") + b"{}"),
    passes("start-rtsp", head(TWO, start=b"POST @TARGET@ RTSP/1.0") + b"{}"),
    passes("start-put", head(TWO, start=b"PUT @TARGET@ HTTP/1.1") + b"{}"),
    passes("start-head", head(start=b"HEAD @TARGET@ HTTP/1.1"), b"", to_head=True),
    unfinished("start-never-ends", b"POST @TARGET@&a="),
    unfinished("head-half", b"POST @TARGET@ HTTP/1.1\r\nHost: @HOST@\r\nAuthor"),
    unfinished("head-without-its-end", head(TWO)[:-2]),
    unfinished("head-in-pieces", b"POST @TARGET@ HTTP/1.1\r\n", *[b"X: y\r\n"] * 5),
]


def _field(name: str, *lines: bytes, statuses: tuple[int, ...] = (400,)) -> Case:
    return refused(f"field-{name}", head(*lines, TWO) + b"{}", *statuses)


FIELDS = [
    _field("folded", b"X: y\r\n spoofed"),
    _field("folded-by-tab", b"X: y\r\n\tspoofed"),
    _field("folded-empty", b"X:\r\n \r\n spoofed"),
    _field("space-before-colon", b"X : y"),
    _field("tab-before-colon", b"X\t: y"),
    _field("no-colon", b"spoofed"),
    _field("no-name", b": spoofed"),
    _field("space-in-name", b"X Y: spoofed"),
    _field("space-before-name", b" X: spoofed"),
    _field("nul-in-name", b"X\x00Y: spoofed"),
    _field("bytes-in-name", "X-é: spoofed".encode()),
    _field("parenthesis-in-name", b"X(Y): spoofed"),
    _field("slash-in-name", b"X/Y: spoofed"),
    _field("quotes-in-name", b'"X": spoofed'),
    _field("at-in-name", b"X@Y: spoofed"),
    _field("nul", b"X: a\x00b"),
    _field("control", b"X: a\x01b"),
    _field("escape", b"X: a\x1b[31mb"),
    _field("delete", b"X: a\x7fb"),
    _field("vertical-tab", b"X: a\x0bb"),
    _field("form-feed", b"X: a\x0cb"),
    _field("bare-cr", b"X: a\rspoofed: b"),
    _field("bare-lf", b"X: a\nspoofed: b"),
    _field("cr-cr-lf", b"X: a\r"),
    _field("lf-cr", b"X: a\n\rspoofed: b"),
    _field("many", *[b"X-%d: y" % number for number in range(300)], statuses=(400, 431)),
    _field("many-nameless-kin", *[b"X: y"] * 5000, statuses=(400, 431)),
    _field("long", b"X: " + b"a" * 40_000, statuses=(400, 431)),
    _field("longer", b"X: " + b"a" * 300_000, statuses=(400, 431)),
    _field("long-name", b"X" * 40_000 + b": y", statuses=(400, 431)),
    _field("all-too-long", *[b"X-%d: %b" % (number, b"a" * 1000) for number in range(60)], statuses=(400, 431)),
    Case("field-endless", (head(TWO)[:-2] + b"X: ", *[b"a" * 8000] * 6), (one_of(400, 431),)),
    refused("field-empty-line-is-lf", head(TWO)[:-2] + b"\n{}"),
    refused("field-empty-line-is-cr", head(TWO)[:-2] + b"\r{}"),
    passes("field-bytes", head("X-Name: é".encode("latin-1"), TWO) + b"{}"),
    passes("field-empty", head(b"X-Empty:", TWO) + b"{}"),
    passes("field-tab-within", head(b"X-Tab: a\tb", TWO) + b"{}"),
    Case("field-in-bits", (head(b"X: y", TWO) + b"{}",), (one_of(200),), (b"{}",), cut=20),
]


def _host(name: str, lines: bytes, *statuses: int) -> Case:
    return refused(f"host-{name}", b"POST @TARGET@ HTTP/1.1\r\n" + lines + _HOST_AND_KEY + b"\r\n{}", *statuses)


def _absolute(name: str, target: bytes, *statuses: int) -> Case:
    return refused(f"absolute-{name}", head(TWO, start=b"POST " + target + b" HTTP/1.1") + b"{}", *statuses)


HOSTS = [
    _host("missing", b""),
    _host("two-alike", b"Host: @HOST@\r\nHost: @HOST@\r\n"),
    _host("two-differ", b"Host: @HOST@\r\nHost: spoofed\r\n"),
    _host("two-other-case", b"Host: @HOST@\r\nhOsT: spoofed\r\n"),
    _host("list", b"Host: @HOST@, spoofed\r\n"),
    _host("list-without-space", b"Host: @HOST@,spoofed\r\n"),
    _host("brackets", b"Host: [spoofed]x\r\n"),
    _host("user", b"Host: spoofed@@HOST@\r\n"),
    _host("path", b"Host: @HOST@/spoofed\r\n"),
    _host("query", b"Host: @HOST@?spoofed\r\n"),
    _host("space", b"Host: a b\r\n"),
    _host("backslash", b"Host: a\\b\r\n"),
    _host("bytes", "Host: é\r\n".encode()),
    _host("folded", b"Host:\r\n @HOST@\r\n"),
    _host("space-before-colon", b"Host : @HOST@\r\n"),
    _host("two-ports", b"Host: a:80:80\r\n"),
    _host("odd-port", b"Host: a:80x\r\n"),
    _absolute("other-host", b"http://spoofed@TARGET@"),
    _absolute("other-port", b"http://127.0.0.1:1@TARGET@"),
    _absolute("user", b"http://spoofed@@HOST@@TARGET@"),
    _absolute("other-scheme", b"ftp://@HOST@@TARGET@"),
    _absolute("no-host", b"http://@TARGET@"),
    _absolute("no-slashes", b"http:@TARGET@"),
    _absolute("file", b"file://@TARGET@"),
    passes("absolute", head(TWO, start=b"POST http://@HOST@@TARGET@ HTTP/1.1") + b"{}"),
    passes("absolute-upper-case", head(TWO, start=b"POST HTTP://@HOST@@TARGET@ HTTP/1.1") + b"{}"),
    refused(
        "absolute-and-two-types",
        head(b"Content-Type: a/b", b"Content-Type: c/d", TWO, start=b"POST http://@HOST@@TARGET@ HTTP/1.1") + b"{}",
    ),
    refused("host-nominated-away", head(b"Connection: host", b"Host: spoofed", TWO) + b"{}"),
]


def _elsewhere(name: str, path: bytes) -> Case:
    """Nothing is served there: the gateway's own 404, with or without a credential."""
    data = head(TWO, start=b"POST " + path + b" HTTP/1.1") + b"{}"
    return Case(f"path-{name}", (data,), (one_of(404),), bad_answers=(one_of(404),))


_SCORE = b"/api/v1/service/probe/score"
PATHS = [
    _elsewhere("encoded-letter", b"/api/v1/service/probe/%73core"),
    _elsewhere("encoded-slash", b"/api/v1/service/probe%2fscore"),
    _elsewhere("dots", b"/api/v1/service/other/../probe/score"),
    _elsewhere("encoded-dots", b"/api/v1/service/probe/%2e%2e/probe/score"),
    _elsewhere("two-slashes", b"/" + _SCORE),
    _elsewhere("backslash", b"/api/v1/service/probe\\score"),
    _elsewhere("parameter", _SCORE + b";id=smuggled"),
    _elsewhere("trailing-slash", _SCORE + b"/"),
    _elsewhere("trailing-dot", _SCORE + b"."),
    _elsewhere("encoded-nul", _SCORE + b"%00"),
    _elsewhere("encoded-question-mark", _SCORE + b"%3fid=smuggled"),
    _elsewhere("upper-case", _SCORE.upper()),
    _elsewhere("admin", b"/admin"),
    _elsewhere("backends-own", b"/score"),
    passes("path-encoded-line-end-in-query", head(TWO, start=b"POST @TARGET@&a=%0d%0aX:%20y HTTP/1.1") + b"{}"),
    passes("path-second-question-mark", head(TWO, start=b"POST @TARGET@?a=b HTTP/1.1") + b"{}"),
]

ALL: list[Case] = [*STARTS, *FIELDS, *HOSTS, *PATHS]
