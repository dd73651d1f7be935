"""Which header fields pass, in both directions (RFC 9110 section 7.6.1), and which the gateway says itself.

What a client must not say for us is removed: credentials, forwarding fields, our identity fields, and every name with
an underscore, which some backends read as a hyphen.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.core.exchange import Exchange
from gateway.core.spec import RequestHeadersSpec

Triple = tuple[bytes, bytes, bytes]

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


def nominated(connection: bytes) -> frozenset[bytes]:
    """The field names that a Connection field declares to be for this hop only."""
    return frozenset(name.strip().lower() for name in connection.split(b",")) - {b"close", b"keep-alive", b""}


def to_backend(exchange: Exchange, rules: RequestHeadersSpec) -> list[bytes]:
    """Header lines for the backend, without Host and framing: what passes, then what the gateway says."""
    connection = exchange.fields.get(b"connection")
    dropped = _NOT_FROM_CLIENTS | nominated(connection) if connection else _NOT_FROM_CLIENTS
    if rules.set or rules.remove:
        dropped |= {name.lower().encode() for name in (*rules.set, *rules.remove)}
    lines = [
        b"%b: %b\r\n" % (name, value)
        for lower, name, value in exchange.headers
        if lower not in dropped and not lower.startswith(_OURS) and b"_" not in lower
    ]
    lines.extend(
        b"%b: %b\r\n" % (name.encode(), value.encode("latin-1", "replace")) for name, value in rules.set.items()
    )
    lines.append(_identity(exchange))
    return lines


def _identity(exchange: Exchange) -> bytes:
    caller = exchange.caller
    text = (
        f"x-request-id: {exchange.request_id}\r\n"
        f"x-ms-client-request-id: {exchange.client_request_id or exchange.request_id}\r\n"
        f"x-forwarded-for: {exchange.address}\r\n"
        f"x-forwarded-proto: {'https' if exchange.secure else 'http'}\r\n"
        f"x-scoregate-auth-type: {caller.auth_type}\r\n"
        f"x-scoregate-caller: {_one_line(caller.subject)}\r\n"
    )
    if caller.key_id:
        text += f"x-scoregate-key-id: {caller.key_id}\r\n"
    host = exchange.fields.get(b"host", b"")
    return text.encode("latin-1", "replace") + b"x-forwarded-host: %b\r\n" % host


def _one_line(subject: str) -> str:
    """A subject that cannot end its header line: who issues tokens may name callers as it likes."""
    if subject.isprintable():
        return subject
    return "".join(character if character.isprintable() else "?" for character in subject)


def from_backend(headers: Iterable[Triple], connection: bytes) -> list[bytes]:
    """Header lines for the client, without framing. Cross-origin fields of a backend never pass: the policy decides."""
    dropped = _NOT_FROM_BACKENDS | nominated(connection) if connection else _NOT_FROM_BACKENDS
    return [
        b"%b: %b\r\n" % (name, value)
        for lower, name, value in headers
        if lower not in dropped and not lower.startswith(_CORS)
    ]
