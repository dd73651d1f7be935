"""How long a body is: Content-Length, Transfer-Encoding, chunks, trailers. Here smugglers live."""

from __future__ import annotations

from case import HIDDEN, Case, head, one_of, passes, refused, unfinished

CHUNKED = b"Transfer-Encoding: chunked"
IN_CHUNKS = b"2\r\n{}\r\n0\r\n\r\n"


def _length(name: str, *fields: bytes, body: bytes = b"{}", statuses: tuple[int, ...] = (400,)) -> Case:
    return refused(f"length-{name}", head(*fields) + body, *statuses)


LENGTHS = [
    _length("two-differ", b"Content-Length: 2", b"Content-Length: 3"),
    _length("two-differ-hidden", b"Content-Length: 2", b"Content-Length: %d" % (2 + len(HIDDEN)), body=b"{}" + HIDDEN),
    _length("two-alike", b"Content-Length: 2", b"Content-Length: 2"),
    _length("two-alike-other-case", b"Content-Length: 2", b"content-length: 2"),
    _length("list", b"Content-Length: 2, 2"),
    _length("list-differs", b"Content-Length: 2, 3"),
    _length("list-without-space", b"Content-Length: 2,2"),
    _length("trailing-comma", b"Content-Length: 2,"),
    _length("plus", b"Content-Length: +2"),
    _length("minus", b"Content-Length: -2"),
    _length("minus-zero", b"Content-Length: -0"),
    _length("hex", b"Content-Length: 0x2"),
    _length("underscore", b"Content-Length: 0_2"),
    _length("fraction", b"Content-Length: 2.0"),
    _length("exponent", b"Content-Length: 2e0"),
    _length("empty", b"Content-Length:"),
    _length("blank", b"Content-Length:   "),
    _length("two-numbers", b"Content-Length: 1 2"),
    _length("quoted", b'Content-Length: "2"'),
    _length("letters", b"Content-Length: two"),
    _length("semicolon", b"Content-Length: 2;3"),
    _length("vertical-tab", b"Content-Length: \x0b2"),
    _length("form-feed-after", b"Content-Length: 2\x0c"),
    _length("wide-digits", "Content-Length: \N{FULLWIDTH DIGIT TWO}".encode()),
    _length("no-break-space", b"Content-Length: 2\xa0"),
    _length("overflow", b"Content-Length: 18446744073709551618"),
    _length("endless-digits", b"Content-Length: " + b"9" * 400),
    _length("largest", b"Content-Length: 18446744073709551615", statuses=(400, 413)),
    _length("over-the-cap", b"Content-Length: 1048577", statuses=(413,)),
    passes("length-leading-zeros", head(b"Content-Length: 0002") + b"{}"),
    passes("length-after-a-tab", head(b"Content-Length:\t2\t") + b"{}"),
    passes("length-odd-case", head(b"cOnTeNt-lEnGtH: 2") + b"{}"),
    passes("length-hides-a-request", head(b"Content-Length: %d" % len(HIDDEN)) + HIDDEN, HIDDEN),
    Case(
        "length-shorter-than-what-follows",
        (head(b"Content-Length: 2") + b"{}" + HIDDEN,),
        (one_of(200), one_of(401)),
        (b"{}",),
    ),
    Case("length-zero-and-a-request", (head(b"Content-Length: 0") + HIDDEN,), (one_of(200), one_of(401)), (b"",)),
    Case("no-length-and-a-request", (head() + HIDDEN,), (one_of(200), one_of(401)), (b"",)),
    unfinished("length-longer-than-the-body", head(b"Content-Length: 9") + b"{}"),
    unfinished("length-and-no-body", head(b"Content-Length: 2")),
]


def _coding(name: str, *fields: bytes, statuses: tuple[int, ...] = (400, 501)) -> Case:
    return refused(f"coding-{name}", head(*fields) + b"2\r\n{}\r\n0\r\n\r\n" + HIDDEN, *statuses)


_10 = b"POST @TARGET@ HTTP/1.0"

CODINGS = [
    _coding("then-length", CHUNKED, b"Content-Length: 2"),
    _coding("after-length", b"Content-Length: 2", CHUNKED),
    _coding("and-length-of-all", CHUNKED, b"Content-Length: %d" % (12 + len(HIDDEN))),
    _coding("list", b"Transfer-Encoding: chunked, chunked"),
    _coding("gzip-then-chunked", b"Transfer-Encoding: gzip, chunked"),
    _coding("chunked-then-gzip", b"Transfer-Encoding: chunked, gzip"),
    _coding("chunked-then-identity", b"Transfer-Encoding: chunked, identity"),
    _coding("identity-then-chunked", b"Transfer-Encoding: identity, chunked"),
    _coding("identity", b"Transfer-Encoding: identity"),
    _coding("identity-and-length", b"Transfer-Encoding: identity", b"Content-Length: 2"),
    _coding("gzip", b"Transfer-Encoding: gzip"),
    _coding("xchunked", b"Transfer-Encoding: xchunked"),
    _coding("chunkedx", b"Transfer-Encoding: chunkedx"),
    _coding("chunk", b"Transfer-Encoding: chunk"),
    _coding("quoted", b'Transfer-Encoding: "chunked"'),
    _coding("single-quoted", b"Transfer-Encoding: 'chunked'"),
    _coding("parameter", b"Transfer-Encoding: chunked;q=1"),
    _coding("comma-before", b"Transfer-Encoding: , chunked"),
    _coding("comma-after", b"Transfer-Encoding: chunked,"),
    _coding("empty", b"Transfer-Encoding:"),
    _coding("two-fields", CHUNKED, CHUNKED),
    _coding("two-fields-identity", CHUNKED, b"Transfer-Encoding: identity"),
    _coding("two-fields-other-case", CHUNKED, b"transfer-encoding: cow"),
    _coding("space-before-colon", b"Transfer-Encoding : chunked"),
    _coding("tab-before-colon", b"Transfer-Encoding\t: chunked"),
    _coding("folded-value", b"Transfer-Encoding:\r\n chunked"),
    _coding("folded-name", b"Transfer-Encoding\r\n : chunked"),
    _coding("folded-after-another", b"X: y\r\n Transfer-Encoding: chunked"),
    _coding("vertical-tab", b"Transfer-Encoding: \x0bchunked"),
    _coding("form-feed", b"Transfer-Encoding: \x0cchunked"),
    _coding("no-break-space", b"Transfer-Encoding: chunked\xa0"),
    _coding("nul", b"Transfer-Encoding: chunked\x00"),
    _coding("nul-within", b"Transfer-Encoding: chu\x00nked"),
    _coding("after-bare-lf", b"X: y\nTransfer-Encoding: chunked"),
    _coding("after-bare-cr", b"X: y\rTransfer-Encoding: chunked"),
    refused("coding-in-1.0", head(CHUNKED, start=_10) + IN_CHUNKS + HIDDEN, 400, 501),
    refused("coding-in-1.0-kept", head(CHUNKED, b"Connection: keep-alive", start=_10) + IN_CHUNKS + HIDDEN, 400, 501),
    refused("coding-and-length-in-1.0", head(CHUNKED, b"Content-Length: 2", start=_10) + b"{}", 400, 501),
    passes("coding-upper-case", head(b"TRANSFER-ENCODING: CHUNKED") + IN_CHUNKS),
    passes("coding-after-a-tab", head(b"Transfer-Encoding:\tchunked") + IN_CHUNKS),
    passes("coding-underscore", head(b"Transfer_Encoding: chunked", b"Content-Length: 12") + IN_CHUNKS, IN_CHUNKS),
    passes("length-field-underscore", head(b"Content_Length: 99", b"Content-Length: 2") + b"{}"),
    passes("coding-in-a-get", head(CHUNKED, start=b"GET @TARGET@ HTTP/1.1") + IN_CHUNKS),
    passes("te-and-trailer-fields", head(b"TE: trailers", b"Trailer: X-Spoofed", b"Content-Length: 2") + b"{}"),
]


def _chunks(name: str, body: bytes, statuses: tuple[int, ...] = (400,)) -> Case:
    return refused(f"chunk-{name}", head(CHUNKED) + body, *statuses)


CHUNKS = [
    passes("chunk-several", head(CHUNKED) + b'1\r\n{\r\n5\r\n"a":1\r\n1\r\n}\r\n0\r\n\r\n', b'{"a":1}'),
    passes("chunk-upper-hex", head(CHUNKED) + b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    passes("chunk-leading-zeros", head(CHUNKED) + b"00002\r\n{}\r\n000\r\n\r\n"),
    passes("chunk-extension", head(CHUNKED) + b"2;a=b\r\n{}\r\n0;c\r\n\r\n"),
    passes("chunk-extension-quoted", head(CHUNKED) + b'2;a="b c"\r\n{}\r\n0\r\n\r\n'),
    passes("chunk-none", head(CHUNKED) + b"0\r\n\r\n", b""),
    passes("chunk-hides-a-request", head(CHUNKED) + b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN), HIDDEN),
    Case(
        "chunk-last-and-a-request",
        (head(CHUNKED) + b"0\r\n\r\n" + HIDDEN,),
        (one_of(200), one_of(401)),
        (b"",),
    ),
    _chunks("plus", b"+2\r\n{}\r\n0\r\n\r\n"),
    _chunks("minus", b"-2\r\n{}\r\n0\r\n\r\n"),
    _chunks("0x", b"0x2\r\n{}\r\n0\r\n\r\n"),
    _chunks("underscore", b"0_2\r\n{}\r\n0\r\n\r\n"),
    _chunks("space-before", b" 2\r\n{}\r\n0\r\n\r\n"),
    _chunks("space-after", b"2 \r\n{}\r\n0\r\n\r\n"),
    _chunks("tab-after", b"2\t\r\n{}\r\n0\r\n\r\n"),
    _chunks("no-size", b"\r\n{}\r\n0\r\n\r\n"),
    _chunks("letter", b"g\r\n{}\r\n0\r\n\r\n"),
    _chunks("comma", b"2,2\r\n{}\r\n0\r\n\r\n"),
    _chunks("quoted", b'"2"\r\n{}\r\n0\r\n\r\n'),
    _chunks("nul", b"2\x00\r\n{}\r\n0\r\n\r\n"),
    _chunks("overflow", b"10000000000000002\r\n{}\r\n0\r\n\r\n"),
    _chunks("overflow-far", b"f" * 40 + b"\r\n{}\r\n0\r\n\r\n"),
    _chunks("endless-zeros", b"0" * 600_000 + b"2\r\n{}\r\n0\r\n\r\n", (400, 413, 431)),
    _chunks("lf-after-size", b"2\n{}\r\n0\r\n\r\n"),
    _chunks("cr-after-size", b"2\r{}\r\n0\r\n\r\n"),
    _chunks("lf-after-data", b"2\r\n{}\n0\r\n\r\n"),
    _chunks("cr-after-data", b"2\r\n{}\r0\r\n\r\n"),
    _chunks("no-end-of-data", b"2\r\n{}0\r\n\r\n"),
    _chunks("more-data-than-size", b"2\r\n{}}\r\n0\r\n\r\n"),
    _chunks("less-data-than-size", b"4\r\n{}\r\n0\r\n\r\n" + HIDDEN),
    _chunks("lf-after-last", b"2\r\n{}\r\n0\n\r\n"),
    _chunks("lf-at-the-end", b"2\r\n{}\r\n0\r\n\n"),
    _chunks("extension-empty", b"2;\r\n{}\r\n0\r\n\r\n"),
    _chunks("extension-space-before", b"2 ;a=b\r\n{}\r\n0\r\n\r\n"),
    _chunks("extension-control", b"2;a\x01=b\r\n{}\r\n0\r\n\r\n"),
    _chunks("extension-bare-lf", b"2;a\nb\r\n{}\r\n0\r\n\r\n"),
    _chunks("extension-bare-cr", b"2;a\rb\r\n{}\r\n0\r\n\r\n"),
    _chunks("extension-quoted-line-end", b'2;a="\r\n{}\r\n0\r\n\r\n"\r\n{}\r\n0\r\n\r\n'),
    _chunks("extension-nul", b"2;a=\x00\r\n{}\r\n0\r\n\r\n"),
    _chunks("extension-flood", b"2;" + b"a" * 600_000 + b"\r\n{}\r\n0\r\n\r\n", (400, 413, 431)),
    _chunks("over-the-cap", b"100001\r\n" + b"x" * 0x100001 + b"\r\n0\r\n\r\n", (413,)),
    unfinished("chunk-huge", head(CHUNKED) + b"fffffffffffffff0\r\n{}"),
    unfinished("chunk-never-last", head(CHUNKED) + b"2\r\n{}\r\n"),
    unfinished("chunk-last-without-end", head(CHUNKED) + b"2\r\n{}\r\n0\r\n"),
    unfinished("chunk-last-with-half-an-end", head(CHUNKED) + b"2\r\n{}\r\n0\r\n\r"),
]


def _trailer(name: str, line: bytes) -> Case:
    return passes(f"trailer-{name}", head(CHUNKED) + b"2\r\n{}\r\n0\r\n" + line + b"\r\n\r\n")


TRAILERS = [
    _chunks("trailer-content-length", b"2\r\n{}\r\n0\r\nContent-Length: 9\r\n\r\n"),
    _chunks("trailer-transfer-encoding", b"2\r\n{}\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    _trailer("authorization", b"Authorization: Bearer spoofed"),
    _trailer("host", b"Host: spoofed"),
    _trailer("identity", b"X-Scoregate-Caller: spoofed"),
    _trailer("forwarded", b"X-Forwarded-For: 10.6.6.6"),
    _trailer("nominating", b"Connection: content-type, x-scoregate-caller"),
    Case(
        "trailer-closes",
        (head(CHUNKED) + b"2\r\n{}\r\n0\r\nConnection: close\r\n\r\n" + HIDDEN,),
        (one_of(200), one_of(400)),
        (b"{}",),
    ),
    Case(
        "trailer-upgrades",
        (head(CHUNKED) + b"2\r\n{}\r\n0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + HIDDEN,),
        (one_of(200), one_of(401)),
        (b"{}",),
    ),
    _trailer("any", b"X-Spoofed: spoofed"),
    _chunks("trailer-without-colon", b"2\r\n{}\r\n0\r\nspoofed\r\n\r\n"),
    _chunks("trailer-space-before-colon", b"2\r\n{}\r\n0\r\nX : spoofed\r\n\r\n"),
    _chunks("trailer-bare-lf", b"2\r\n{}\r\n0\r\nX: spoofed\n\r\n"),
    _chunks("trailer-folded", b"2\r\n{}\r\n0\r\nX: y\r\n spoofed\r\n\r\n"),
    _chunks("trailer-nul", b"2\r\n{}\r\n0\r\nX: \x00\r\n\r\n"),
    _chunks("trailer-flood", b"2\r\n{}\r\n0\r\n" + b"X: spoofed\r\n" * 60_000 + b"\r\n", (400, 413, 431)),
    _chunks("trailer-long", b"2\r\n{}\r\n0\r\nX: " + b"a" * 300_000 + b"\r\n\r\n", (400, 413, 431)),
    unfinished("trailer-never-ends", head(CHUNKED) + b"2\r\n{}\r\n0\r\nX: spoofed\r\n"),
    unfinished("trailer-in-pieces", head(CHUNKED) + b"2\r\n{}\r\n0\r\n", *[b"X: spoofed\r\n"] * 5),
]

ALL: list[Case] = [*LENGTHS, *CODINGS, *CHUNKS, *TRAILERS]
