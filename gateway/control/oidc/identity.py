"""From a bearer token to somebody with roles: signature, issuer, audience, times by our own clock (RFC 8725)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.control.oidc.provider import Provider
from gateway.core import jws
from gateway.core.grant import Grants, RoleTable
from gateway.core.jws import TokenError
from gateway.core.settings import OidcSettings
from gateway.core.token import is_subject

MAX_BYTES = 16_384
"""Providers list groups in their tokens, so these are larger than ours."""
LEEWAY_SECONDS = 30
"""The provider's clock may be ahead of ours, or behind it."""
PREFIX = "oidc:"
"""Before every subject, so that nobody is taken for the bootstrap admin, a key, or somebody of another source."""
_TYPES = ("jwt", "at+jwt", "application/at+jwt")


@dataclass(frozen=True, slots=True)
class OidcIdentity:
    """Somebody whom the provider vouches for. `subject`: `oidc:` and the token's `sub`."""

    subject: str
    grants: Grants


class Identities:
    """Judges bearer tokens of one provider."""

    def __init__(self, settings: OidcSettings, provider: Provider, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._provider = provider
        self._clock = clock
        self._roles = RoleTable(settings.roles)

    async def claims(self, bearer: str) -> OidcIdentity:
        """Who this is and what they may do. Raises TokenError; ProviderAway when that cannot be told now."""
        parts = jws.parse(bearer.encode("utf-8", "surrogateescape"), MAX_BYTES)
        claims = parts.claims()
        if claims.get("iss") != self._settings.issuer:
            # Before anything is fetched: a token of somebody else makes us ask nobody.
            raise TokenError("The token was issued by somebody else than admin.oidc.issuer.")
        key = await self._provider.key(_kid(parts.header))
        if key is None:
            raise TokenError("The token is signed by a key that its issuer does not publish.")
        if parts.header.get("alg") != key.algorithm:
            raise TokenError("The token's algorithm is not the one of its key.")
        if not key.verifies(parts.message, parts.signature):
            raise TokenError("The token's signature does not verify.")
        return self._identity(claims)

    def _identity(self, claims: Mapping[str, Any]) -> OidcIdentity:
        audience = claims.get("aud")
        if self._settings.audience not in (audience if isinstance(audience, list) else [audience]):
            raise TokenError("The token was issued for somebody else than admin.oidc.audience.")
        self._require_now(claims)
        subject = PREFIX + claims["sub"] if isinstance(claims.get("sub"), str) and claims["sub"] else ""
        if not is_subject(subject):
            raise TokenError("The token names no subject.")
        return OidcIdentity(subject, self._roles.grants(_values(claims, self._settings.roles_claim)))

    def _require_now(self, claims: Mapping[str, Any]) -> None:
        now, expires, begins = self._clock(), _time(claims.get("exp")), _time(claims.get("nbf", 0))
        if expires is None or begins is None:
            raise TokenError("The token does not say when it expires, or has a time of the wrong type.")
        if now >= expires + LEEWAY_SECONDS:
            raise TokenError("The token has expired: sign in again.")
        if now + LEEWAY_SECONDS < begins:
            raise TokenError("The token is not valid yet.")


def _kid(header: Mapping[str, Any]) -> str:
    kind, kid = header.get("typ", "JWT"), header.get("kid")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise TokenError("The token is of a type that opens nothing here.")
    if not isinstance(kid, str):
        raise TokenError("The token does not name the key that signed it.")
    return kid


def _values(claims: Mapping[str, Any], name: str) -> list[str]:
    """The values of a claim: one text or a list of texts, under its name or at its path (`realm_access.roles`)."""
    found: Any = claims.get(name)
    if found is None:
        found = claims
        for part in name.split("."):
            found = found.get(part) if isinstance(found, dict) else None
    values = found if isinstance(found, list) else [found]
    return [value for value in values if isinstance(value, str)]


def _time(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        return None
    return float(value)
