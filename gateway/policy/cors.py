"""Cross-origin resource sharing, by the Fetch standard: preflights are answered here, other answers are decorated.

Origins match exactly. A preflight carries no credential, so this check stands before authentication.
"""

from __future__ import annotations

from gateway.core.exchange import Exchange
from gateway.core.problem import Headers, Reply
from gateway.core.route import Check, Decorate
from gateway.core.snapshot import ServiceEntry
from gateway.core.spec import CorsSpec
from gateway.policy.world import World

VARY = (b"vary", b"Origin")
PREFLIGHT_VARY = (b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers")


def compile_check(entry: ServiceEntry, world: World) -> Check | None:
    """Answers preflights; None when the service has no `cors` section."""
    spec = entry.spec.cors
    if spec is None:
        return None
    allowed = _grants(spec)

    def cors(exchange: Exchange) -> Reply | None:
        if not _is_preflight(exchange):
            return None
        origin = exchange.fields[b"origin"]
        if not _is_allowed(spec, origin):
            return Reply(403, "origin_not_allowed", _origin_detail(entry.name, origin))
        return Reply(204, headers=allowed, body=b"")

    return cors


def compile_decoration(entry: ServiceEntry) -> Decorate | None:
    """Fields for every answer of the service, errors included, so that pages can read them; None without `cors`."""
    spec = entry.spec.cors
    if spec is None:
        return None
    granted: Headers = ()
    if spec.allow_credentials:
        granted += ((b"access-control-allow-credentials", b"true"),)
    exposed = ", ".join(spec.exposed_headers).encode()
    if exposed:
        granted += ((b"access-control-expose-headers", exposed),)
    any_origin = "*" in spec.allowed_origins

    def decorate(exchange: Exchange) -> Headers:
        origin = exchange.fields.get(b"origin")
        vary = PREFLIGHT_VARY if _is_preflight(exchange) else VARY
        if origin is None or not _is_allowed(spec, origin):
            return (vary,)
        allowed = b"*" if any_origin else origin
        return (vary, (b"access-control-allow-origin", allowed), *granted)

    return decorate


def _is_preflight(exchange: Exchange) -> bool:
    fields = exchange.fields
    return exchange.method == b"OPTIONS" and b"origin" in fields and b"access-control-request-method" in fields


def _grants(spec: CorsSpec) -> Headers:
    return (
        (b"access-control-allow-methods", ", ".join(spec.allowed_methods).encode()),
        (b"access-control-allow-headers", ", ".join(spec.allowed_headers).encode()),
        (b"access-control-max-age", str(spec.max_age_seconds).encode()),
    )


def _is_allowed(spec: CorsSpec, origin: bytes) -> bool:
    text = origin.decode("latin-1")
    # Every sandboxed page and local file has the origin `null`: it names nobody.
    return text in spec.allowed_origins or ("*" in spec.allowed_origins and text != "null")


def _origin_detail(service: str, origin: bytes) -> str:
    shown = origin[:200].decode("latin-1")
    return f"Pages of {shown!r} may not call {service}: add the origin to cors.allowed_origins if they should."
