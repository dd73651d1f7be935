"""A request as it arrives: its head, checked for what llhttp leaves open (RFC 9112), and its body so far."""

from __future__ import annotations

import ipaddress
import random
import re
import time
from collections.abc import Sequence

from gateway.core.exchange import Exchange, Triple
from gateway.core.problem import Reply
from gateway.core.route import Target

MAX_HEADERS = 128
MAX_DISCARDED = 65_536
"""An unread body up to this size is read to its end, so that the connection can be kept."""
_TARGET = re.compile(rb"[\x21\x22\x24-\x7e]+")
_AUTHORITY = re.compile(rb"(?:[A-Za-z0-9._~%!$&'()*+;=-]*|\[[0-9A-Za-z:.%]+\])(?::[0-9]*)?")
_UNUSUAL = frozenset({b"transfer-encoding", b"upgrade", b"expect"})
REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,100}")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Message:
    """One request on a connection. `exchange` is there once the head is complete; `refusal` if it cannot be served.

    `size`: bytes of body so far; `held`: those not taken yet; `received`: with their framing, from the second read on.
    `known`: where it goes, if its head was recalled and not read; `head_bytes`: the head, if it came whole in one read.
    """

    __slots__ = (
        "chunks",
        "complete",
        "discard",
        "exchange",
        "expects_continue",
        "head_bytes",
        "headers",
        "held",
        "known",
        "received",
        "refusal",
        "size",
        "started",
        "target",
    )

    def __init__(self) -> None:
        self.target = b""
        self.headers: list[Triple] = []
        self.exchange: Exchange | None = None
        self.refusal: Reply | None = None
        self.expects_continue = False
        self.started = 0.0
        self.received = 0
        self.chunks: list[bytes] = []
        self.held = 0
        self.size = 0
        self.complete = False
        self.discard = False
        self.head_bytes = b""
        self.known: Target | None = None

    @classmethod
    def again(cls, exchange: Exchange, target: Target, body: bytes) -> Message:
        """A whole request whose head is known to go to `target` (`proxy.memo`)."""
        message = cls()
        message.started = exchange.now
        message.exchange = exchange
        message.known = target
        message.chunks.append(body)
        message.size = message.held = len(body)
        message.complete = True
        return message

    def add(self, data: bytes) -> None:
        """A piece of the body."""
        self.size += len(data)
        if not self.discard:
            self.chunks.append(data)
            self.held += len(data)

    def take(self) -> bytes:
        """The body bytes that have arrived and were not taken yet."""
        chunks = self.chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self.chunks = []
        self.held = 0
        return data

    @property
    def is_cheap_to_skip(self) -> bool:
        """Whether what is left of the body may be read and thrown away; else its connection ends with the answer."""
        if self.complete:
            return True
        length = self.exchange.length if self.exchange is not None else None
        return not self.expects_continue and length is not None and length - self.size <= MAX_DISCARDED

    def unreadable(self, refusal: Reply, *, secure: bool) -> None:
        """Stand for a request whose head was never understood: it is answered, counted and logged like any other."""
        self.started = time.monotonic()
        self.exchange = Exchange(b"", b"", b"", [], secure=secure, now=self.started, wall=time.time())
        self.exchange.request_id = new_id()
        self.refusal = refusal

    def head(self, method: bytes, version: str, *, keep_alive: bool, secure: bool) -> None:
        """All header fields are here: make the exchange, or find why it cannot be served."""
        self.started = now = time.monotonic()
        origin, path, query = _parts(self.target)
        exchange = Exchange(method, path, query, self.headers, secure=secure, now=now, wall=time.time())
        exchange.version = version
        exchange.keep_alive = keep_alive
        self.exchange = exchange
        fields = exchange.fields
        if not _UNUSUAL.isdisjoint(fields) or method == b"CONNECT" or version != "1.1":
            self.refusal = self._frame(exchange) or self._expect(exchange)
        elif b"content-length" in fields:
            exchange.length = int(fields[b"content-length"])
        self.refusal = self.refusal or self._locate(exchange, origin)
        exchange.request_id = _sent_id(fields.get(b"x-request-id")) or new_id()
        exchange.client_request_id = _sent_id(fields.get(b"x-ms-client-request-id"))

    def _frame(self, exchange: Exchange) -> Reply | None:
        fields = exchange.fields
        coding = fields.get(b"transfer-encoding")
        if exchange.version not in ("1.1", "1.0"):
            return _bad("http_version", "Only HTTP/1.1 and HTTP/1.0 are spoken here.", status=505)
        if exchange.method == b"CONNECT":
            return _bad("connect", "CONNECT is not understood: this is no forward proxy.", status=501)
        if coding is None:
            exchange.length = int(fields.get(b"content-length", b"0"))
        elif coding.lower() != b"chunked" or exchange.version != "1.1":
            return _bad("transfer_coding", "Only 'Transfer-Encoding: chunked' in HTTP/1.1 is understood.", status=501)
        else:
            exchange.length = None
        upgrade = fields.get(b"upgrade")
        # h2c may be ignored (RFC 9110 section 7.8), but llhttp takes a body behind it for the upgraded protocol.
        if upgrade is not None and (upgrade.lower() != b"h2c" or exchange.length != 0):
            return _bad("upgrade", "Upgrades such as WebSocket are not passed on.", status=501)
        return None

    def _locate(self, exchange: Exchange, origin: bytes) -> Reply | None:
        host, repeated = exchange.fields.get(b"host"), exchange.repeated
        if host is None and exchange.version == "1.1":
            return _bad("no_host", "HTTP/1.1 needs a Host field.")
        if repeated == b"host" or (host is not None and not _AUTHORITY.fullmatch(host)):
            return _bad("bad_host", "The Host field is not one host name with an optional port.")
        if not _TARGET.fullmatch(self.target):
            return _bad("bad_target", "The request target has characters that must be percent-encoded.")
        if origin and (refusal := _check_origin(origin, host or b"")):
            return refusal
        if repeated and repeated != b"authorization":
            name = exchange.repeated.decode()
            return _bad("repeated_field", f"The field {name} may stand once in a request.")
        return None

    def _expect(self, exchange: Exchange) -> Reply | None:
        expectation = exchange.fields.get(b"expect")
        if expectation is None:
            return None
        if expectation.lower() != b"100-continue":
            return _bad("expectation", "Only 'Expect: 100-continue' is understood.", status=417)
        self.expects_continue = exchange.version == "1.1"
        return None


def _parts(target: bytes) -> tuple[bytes, bytes, bytes]:
    """Origin, path and query of a target: `http://host:80`, `/score` and `?a=1`; mostly it has a path alone.

    The origin is kept apart at once: it may hold a password, and the path is logged.
    """
    path, mark, query = target.partition(b"?")
    if path.startswith(b"/"):
        return b"", path, mark + query
    scheme, separator, rest = path.partition(b"://")
    authority, slash, path = rest.partition(b"/")
    return scheme + separator + authority, slash + path or b"/", mark + query


def _check_origin(origin: bytes, host: bytes) -> Reply | None:
    scheme, separator, authority = origin.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        return _bad("bad_target", "The request target is neither a path nor an http URL.")
    # RFC 9112 section 3.2.2 lets the target win; a front door refuses what two readers could read differently.
    if authority.lower() != host.lower():
        return _bad("bad_host", "The Host field and the host of the request target differ.")
    return None


def client_address(peer: str, fields: dict[bytes, bytes], trusted: Sequence[Network]) -> str:
    """Who is calling: the peer, or the last address in X-Forwarded-For that no trusted proxy stands for."""
    if not trusted or not is_within(peer, trusted):
        return peer
    address = peer
    for text in reversed(fields.get(b"x-forwarded-for", b"").decode("latin-1").split(",")):
        try:
            address = plain_address(text.strip())
        except ValueError:
            break
        if not is_within(address, trusted):
            break
    return address


def plain_address(text: str) -> str:
    """An address as it is compared, counted and logged; raises ValueError if it is none.

    An IPv4 client of a socket that also speaks IPv6 (::ffff:192.0.2.1) is known by its IPv4 address.
    """
    parsed = ipaddress.ip_address(text)
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


def is_within(address: str, networks: Sequence[Network]) -> bool:
    """Whether one of the networks holds the address."""
    parsed = ipaddress.ip_address(address)
    return any(parsed in network for network in networks)


def new_id() -> str:
    """An id for a request that came without one: unique, and no secret."""
    return f"{random.getrandbits(128):032x}"


def _sent_id(sent: bytes | None) -> str:
    """A request id from the client, if it is harmless: it stands in logs and answers, and models refuse long ones."""
    return sent.decode() if sent is not None and REQUEST_ID.fullmatch(sent) else ""


def _bad(reason: str, detail: str, *, status: int = 400) -> Reply:
    return Reply(status, reason, detail, "head", closes=True)
