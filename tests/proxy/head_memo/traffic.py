"""Bytes that clients send: heads that repeat, heads that differ in what matters, heads that are none; cut anywhere."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, replace

from head_memo.landscape import ORIGIN, SERVICES, Landscape

RUNS = (1, 3, 6, 10)
ALIKE = ((b"[1]", b"[2]"), (b"[1]", b"[3]"), (b"",), (b"[1, 2]", b"[3, 4]"))
HEAD_LIMIT = 2_048
"""`max_header_bytes` of the listeners."""
MOST_BYTEWISE = 1_000
STRANGERS = 0.05
"""How often somebody else sends the same head over the same connection, with a credential of its own."""
SMUGGLED = 0.05
"""How often a body is itself a request that is known, and a read of its own."""
TWISTED = 0.3
BODIES = (
    b"",
    b"[1]",
    b"[2]",
    b"[1, 2]",
    b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n",
    b"x" * 99,
    b"y" * 100,
    b"z" * 500,
    b"b" * 70_000,
)
FRESH = b"\0"
"""Stands where each request has an id of its own."""
BAD_IDS = (b"", b"two words", b"semi;colon", b" tail ", b"i" * 101, b"i" * 3_000, b"caf\xe9")
ODD_FIELDS = (
    b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: x-hop, keep-alive",
    b"Connection: upgrade",
    b"Connection: Expect",
    b"Expect: 100-continue",
    b"Expect: a miracle",
    b"Upgrade: h2c",
    b"Upgrade: websocket",
    b"Transfer-Encoding: chunked",
    b"Content-Length: 3",
    b"Content-Length: +3",
    b"Authorization: Bearer another",
    b"Host: other",
    b"X-Long: " + b"l" * 1_500,
    b"X-Long: " + b"l" * 3_000,
    b"X-Scoregate-Caller: root",
    b"Keep-Alive: timeout=5",
    b"TE: trailers",
    b" folded",
    b"no colon",
    b"x-hop : 1",
)
USUAL_FIELDS = (
    b"Content-Type: application/json",
    b"X-Request-Id: fixed-one",
    b"X-Request-Id: " + FRESH,
    b"x-request-id:" + FRESH,
    b"X-Request-ID: " + FRESH,
    b"x-ms-client-request-id: theirs",
    b"x-ms-client-request-id: " + FRESH,
    b"Traceparent: " + FRESH,
    b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-00",
    b"X-Forwarded-For: 198.51.100.9",
    b"X-Forwarded-For: 203.0.113.7, 10.9.0.3",
    b"X-Hop: one",
    b"Cookie: a=b",
    b"User-Agent: test/1",
    b"x_under: score",
    b"Accept: */*",
    b"Origin: " + ORIGIN.encode(),
    b"Origin: https://evil.example",
)
PATHS = (b"/score",) * 60 + (b"/score?a=1", b"/score?a=2", b"/swagger.json", b"/swagger.json", b"/extra/path", b"")
FIXED = (b"/livez", b"/", b"/nothing", b"/.well-known/jwks.json", b"/score", b"http://open.example/score", b"*")
METHODS = (b"POST",) * 50 + (b"GET", b"PUT", b"HEAD", b"OPTIONS", b"DELETE", b"TRACE")


@dataclass(frozen=True, slots=True)
class Template:
    """A head without what frames its body, and how the body is framed: length, chunked, none.

    `lead`: what stands before the head. `twist`: bytes in it that are sometimes replaced by others as long.
    """

    line: bytes
    fields: tuple[bytes, ...]
    framing: str
    lead: bytes = b""
    twist: bytes = b""

    @property
    def service(self) -> str:
        """The service that is meant, if one is."""
        return next((name for name in SERVICES if b"/%b/" % name.encode() in self.line), SERVICES[0])

    def request(self, body: bytes, rng: random.Random) -> bytes:
        """The bytes of a request."""
        lines = [self.lead + self.line, *self.fields]
        if self.framing == "length":
            lines.append(b"Content-Length: %d" % len(body))
        elif self.framing == "chunked":
            lines.append(b"Transfer-Encoding: chunked")
            body = (b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)) if body else b"0\r\n\r\n"
        else:
            body = b""
        head = b"\r\n".join(lines) + b"\r\n\r\n"
        while FRESH in head:
            head = head.replace(FRESH, fresh_id(rng), 1)
        if self.twist and rng.random() < TWISTED:
            head = head.replace(self.twist, b"%0*x" % (len(self.twist), rng.randrange(256)), 1)
        return head + body


def fresh_id(rng: random.Random) -> bytes:
    """An id as clients make them, long or short; now and then none."""
    kind = rng.random()
    if kind < 0.05:
        return rng.choice(BAD_IDS)
    if kind < 0.9:
        return b"%032x" % rng.getrandbits(128)
    return b"i" * rng.choice((1, 20, 99, 100))


class Traffic:
    """What the clients of one world send."""

    def __init__(self, rng: random.Random, landscape: Landscape) -> None:
        self._rng = rng
        self._landscape = landscape
        self._templates = [self._template() for _ in range(12)]

    def renew(self) -> None:
        """One of the heads that repeat gives way to another."""
        rng = self._rng
        place = rng.randrange(len(self._templates))
        self._templates[place] = self._sibling() if rng.random() < 0.5 else self._template()

    def choose(self) -> Template:
        """One of the heads that repeat."""
        return self._rng.choice(self._templates)

    def request(self, template: Template) -> bytes:
        """A request of this head, or of something near it."""
        rng, kind = self._rng, self._rng.random()
        if kind < 0.9:
            body = rng.choice(BODIES[:4])
        elif kind < 0.97:
            body = rng.choice(BODIES)
        else:
            body = template.request(BODIES[1], rng)
        data = template.request(body, rng)
        return data if rng.random() < 0.975 else self._mutated(data)

    def steady(self, template: Template) -> list[bytes]:
        """Requests of one head, each a read; their bodies differ, but not in length."""
        rng = self._rng
        bodies = rng.choice(ALIKE)
        reads = [template.request(rng.choice(bodies), rng) for _ in range(rng.choice(RUNS))]
        if rng.random() < STRANGERS:
            reads.append(self._stranger(template).request(rng.choice(bodies), rng))
        if rng.random() < SMUGGLED:
            body = self.choose().request(rng.choice(bodies), rng)
            head = self.choose().request(body, rng).removesuffix(body)
            reads += [head, body]
        return reads

    def cut(self, data: bytes) -> list[bytes]:
        """In pieces: mostly one, sometimes at the end of a head, sometimes anywhere."""
        rng, kind = self._rng, self._rng.random()
        if kind < 0.75 or len(data) < 2:
            return [data]
        if kind < 0.85:
            at = data.find(b"\r\n\r\n") + rng.choice((0, 2, 3, 4, 4, 5))
            return [piece for piece in (data[:at], data[at:]) if piece]
        if kind < 0.999 or len(data) > MOST_BYTEWISE:
            places = sorted({0, len(data), *(rng.randrange(1, len(data)) for _ in range(rng.choice((1, 1, 2, 4))))})
            return [data[start:end] for start, end in itertools.pairwise(places)]
        return [data[at : at + 1] for at in range(len(data))]

    def _template(self) -> Template:
        rng = self._rng
        if rng.random() < 0.25:
            return self._trap()
        service = rng.choice(SERVICES)
        path = b"/api/v1/service/%b%b" % (service.encode(), rng.choice(PATHS))
        if rng.random() < 0.05:
            path = rng.choice(FIXED)
        version = b"1.1" if rng.random() < 0.95 else b"1.0"
        host = rng.choice((b"gateway", b"gateway", b"gateway:8443", b"open.example"))
        fields = [b"Host: " + host]
        if rng.random() < 0.97:
            fields.append(b"Authorization: Bearer " + self._landscape.credential(service))
        fields += rng.sample(USUAL_FIELDS, rng.choice((0, 1, 2, 3)))
        if rng.random() < 0.15:
            fields.append(rng.choice(ODD_FIELDS))
        if rng.random() < 0.05:
            fields.append(b"Access-Control-Request-Method: POST")
        method = rng.choice(METHODS)
        framing = "none" if method in (b"GET", b"HEAD", b"OPTIONS", b"TRACE") else "length"
        if rng.random() < 0.1:
            framing = rng.choice(("length", "chunked", "none"))
        return Template(b"%b %b HTTP/%b" % (method, path, version), tuple(fields), framing)

    def _trap(self) -> Template:
        """A head of which a careless memo cuts out too much: of a credential, or more than a head may have."""
        rng, service = self._rng, self._rng.choice(SERVICES)
        line = b"POST /api/v1/service/%b/score HTTP/1.1" % service.encode()
        credential = self._landscape.credential(service)
        bearer = b"Authorization: Bearer " + credential
        lead = rng.choice((b"", b"\r\n", b"\r\n\r\n"))
        kind = rng.random()
        if kind < 0.3:
            fields = (b"Host: gateway", bearer, b"X-Request-Id: " + FRESH)
            return Template(line, fields, "length", lead, twist=credential[-2:])
        if kind < 0.7:
            tail = credential[-2:]
            fields = (b"Host: gateway", bearer, *(b"X-Request-Id: " + tail,) * rng.choice((1, 2)))
            return Template(line, fields, "length", lead, twist=tail)
        pad = b"p" * (HEAD_LIMIT - len(line) - len(bearer) - 80 - rng.randrange(60))
        return Template(line, (b"Host: gateway", bearer, b"X-Request-Id: " + FRESH, b"X-Pad: " + pad), "length")

    def _sibling(self) -> Template:
        """A head that differs in one thing from one that repeats: the credential, a field, the version, the case."""
        rng, known = self._rng, self.choose()
        fields = list(known.fields)
        place = rng.randrange(len(fields))
        kind = rng.random()
        if kind < 0.4:
            return self._stranger(known)
        if kind < 0.6:
            fields.insert(place, rng.choice(USUAL_FIELDS))
        elif kind < 0.7:
            fields[place] = fields[place].swapcase()
        elif kind < 0.8:
            fields.append(rng.choice(ODD_FIELDS))
        elif kind < 0.9:
            rng.shuffle(fields)
        else:
            return replace(known, line=known.line.replace(b"/1.1", b"/1.0"))
        return replace(known, fields=tuple(fields))

    def _stranger(self, known: Template) -> Template:
        bearer = b"Authorization: Bearer " + self._landscape.credential(self._rng.choice(SERVICES))
        fields = (bearer if field.startswith(b"Authorization") else field for field in known.fields)
        return replace(known, fields=tuple(fields))

    def _mutated(self, data: bytes) -> bytes:
        rng = self._rng
        at = rng.randrange(len(data))
        kind = rng.randrange(6)
        if kind == 0:
            return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
        if kind == 1:
            return data[:at] + data[at + 1 :]
        if kind == 2:
            return data[:at] + rng.choice((b" ", b"\r\n", b"\n", b"0", b":", b",", b"\x00", b"\t")) + data[at:]
        if kind == 3:
            return data[:at]
        head, end, body = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        place = rng.randrange(len(lines))
        if kind == 4:
            lines.insert(place, rng.choice(lines))
        else:
            lines[place] = rng.choice(ODD_FIELDS)
        return b"\r\n".join(lines) + end + body
