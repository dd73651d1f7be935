"""What a worker answers on the scoring port by itself, without a service: liveness, readiness, signing keys, 404."""

from __future__ import annotations

import json
from collections.abc import Callable

from gateway.core import jwk
from gateway.core.exchange import Exchange
from gateway.core.problem import JSON, TEXT, Reply
from gateway.core.route import SERVICE_PREFIX

HTML = b"text/html; charset=utf-8"
READ_ONLY = frozenset({b"GET", b"HEAD"})


class Local:
    """The worker's own paths. `state`: (ready, degraded, why). `is_service`: whether a name is served here."""

    __slots__ = ("_is_service", "_jwks", "_paths", "_state")

    def __init__(self, state: Callable[[], tuple[bool, bool, str]], is_service: Callable[[str], bool]) -> None:
        self._state = state
        self._is_service = is_service
        self._jwks = jwk.jwks(())
        self._paths: dict[bytes, Callable[[], Reply]] = {
            b"/": lambda: Reply(200, body=b"Healthy", content_type=HTML),
            b"/livez": lambda: Reply(200, body=b"ok", content_type=TEXT),
            b"/readyz": self._readiness,
            b"/.well-known/jwks.json": self._key_set,
        }

    def publish(self, jwks: bytes) -> None:
        """Show this key set from now on."""
        self._jwks = jwks

    def __call__(self, exchange: Exchange) -> Reply:
        """The answer to a request that means no service."""
        answer = self._paths.get(exchange.path)
        if answer is None:
            return self._not_found(exchange)
        if exchange.method not in READ_ONLY:
            return Reply(
                405, "method_not_allowed", "Only GET and HEAD are answered here.", "route", ((b"allow", b"GET, HEAD"),)
            )
        return answer()

    def _readiness(self) -> Reply:
        ready, degraded, why = self._state()
        document = {"status": "degraded" if ready and degraded else "ready" if ready else "not ready", "detail": why}
        return Reply(200 if ready else 503, body=json.dumps(document).encode(), content_type=JSON)

    def _not_found(self, exchange: Exchange) -> Reply:
        name = ""
        if exchange.path.startswith(SERVICE_PREFIX):
            name = exchange.path[len(SERVICE_PREFIX) :].split(b"/")[0][:64].decode("latin-1")
        if name and self._is_service(name):
            detail = f"{name} has nothing at this path: score at {SERVICE_PREFIX.decode()}{name}/score."
        elif name:
            detail = f"There is no service {name!r} here: the admin API and the portal list those there are."
        else:
            detail = f"Nothing is served at this path: services are at {SERVICE_PREFIX.decode()}<name>/score."
        return Reply(404, "not_found", detail, "route")

    def _key_set(self) -> Reply:
        return Reply(200, body=self._jwks, content_type=JSON, headers=((b"cache-control", b"public, max-age=300"),))
