"""Which header fields pass, in both directions (RFC 9110 section 7.6.1), and which the gateway says itself.

What a client must not say for us is removed: credentials, forwarding fields, our identity fields, and every name with
an underscore, which some backends read as a hyphen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from gateway.core.exchange import Exchange, Triple
from gateway.core.spec import RequestHeadersSpec

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-authentication-info",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    }
)
_SAID_BY_US = frozenset(
    {
        b"host",
        b"content-length",
        b"expect",
        b"authorization",
        b"forwarded",
        b"x-real-ip",
        b"x-request-id",
        b"x-ms-client-request-id",
    }
)
_OURS = (b"x-forwarded-", b"x-scoregate-")
_NOT_FROM_CLIENTS = HOP_BY_HOP | _SAID_BY_US
_NOT_FROM_BACKENDS = HOP_BY_HOP | {b"content-length", b"x-request-id", b"x-ms-client-request-id", b"server-timing"}
_CORS = b"access-control-"
_NONE: frozenset[bytes] = frozenset()

MAX_NAMES = 1024


class _Names(dict[bytes, bool]):
    """Which field names pass, by lower-case name: found out once for each name, as long as there are not too many."""

    __slots__ = ("_passes",)

    def __init__(self, passes: Callable[[bytes], bool]) -> None:
        super().__init__()
        self._passes = passes

    def __missing__(self, name: bytes) -> bool:
        if len(self) >= MAX_NAMES:
            self.clear()
        verdict = self[name] = self._passes(name)
        return verdict


_from_clients = _Names(lambda name: not (name in _NOT_FROM_CLIENTS or name.startswith(_OURS) or b"_" in name))
_from_backends = _Names(lambda name: not (name in _NOT_FROM_BACKENDS or name.startswith(_CORS)))


def nominated(connection: bytes) -> frozenset[bytes]:
    """The field names that a Connection field declares to be for this hop only."""
    return frozenset(name.strip().lower() for name in connection.split(b",")) - {b"close", b"keep-alive", b""}


def passing(exchange: Exchange, rules: RequestHeadersSpec) -> list[bytes]:
    """The client's header lines as the backend gets them, and those that the service sets."""
    connection = exchange.fields.get(b"connection")
    dropped = nominated(connection) if connection else _NONE
    if rules.set or rules.remove:
        dropped |= {name.lower().encode() for name in (*rules.set, *rules.remove)}
    lines = _passing(exchange.headers, _from_clients, dropped)
    for name, text in rules.set.items():
        lines.append(b"%b: %b\r\n" % (name.encode(), text.encode("latin-1", "replace")))
    return lines


def to_backend(exchange: Exchange, rules: RequestHeadersSpec) -> list[bytes]:
    """Header lines for the backend, without Host and framing: what passes, then what the gateway says."""
    lines = [exchange.passing] if exchange.passing is not None else passing(exchange, rules)
    sent, given = exchange.client_request_id, exchange.request_id
    lines += (
        f"x-request-id: {given}\r\nx-ms-client-request-id: {sent or given}\r\n".encode(),
        _forwarded(exchange.address, exchange.secure),
        exchange.caller.identity,
        b"x-forwarded-host: %b\r\n" % exchange.fields.get(b"host", b""),
    )
    return lines


def from_backend(headers: Sequence[Triple], connection: bytes) -> list[bytes]:
    """Header lines for the client, without framing. Cross-origin fields of a backend never pass: the policy decides."""
    return _passing(headers, _from_backends, nominated(connection) if connection else _NONE)


def _passing(headers: Sequence[Triple], names: _Names, dropped: frozenset[bytes]) -> list[bytes]:
    if not dropped:
        return [name + b": " + value + b"\r\n" for lower, name, value in headers if names[lower]]
    return [name + b": " + value + b"\r\n" for lower, name, value in headers if names[lower] and lower not in dropped]


@lru_cache(maxsize=1024)
def _forwarded(address: str, secure: bool) -> bytes:
    return f"x-forwarded-for: {address}\r\nx-forwarded-proto: {'https' if secure else 'http'}\r\n".encode()
