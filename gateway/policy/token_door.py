"""The door that opens with a token issued for this service, for what is being done, valid now and not revoked."""

from __future__ import annotations

from gateway.core import token
from gateway.core.exchange import Caller, Exchange
from gateway.core.jws import TokenError
from gateway.core.problem import Reply
from gateway.core.snapshot import ServiceEntry
from gateway.core.verb import NEEDED
from gateway.policy.challenge import refuse
from gateway.policy.world import World


class TokenDoor:
    """The tokens of one service."""

    __slots__ = ("_born", "_name", "_revoked", "_world")

    def __init__(self, entry: ServiceEntry, world: World) -> None:
        self._name = entry.name
        self._born = int(entry.born)
        self._revoked = entry.revoked
        self._world = world

    def open(self, credential: bytes, exchange: Exchange) -> Caller | Reply:
        """Whom this token was issued to, or why it opens nothing here and now."""
        known = self._world.verified.get(credential)
        if known is None:
            if not token.looks_like_token(credential):
                return refuse("key_not_accepted", f"{self._name} opens with a token only: ask its owner for one.")
            try:
                known = self._world.verify(credential)
            except TokenError as error:
                return refuse("invalid_token", str(error))
        claims, caller = known
        if claims.service != self._name:
            return refuse("token_of_another_service", f"The token was issued for another service than {self._name}.")
        if claims.issued_at < self._born:
            return refuse("invalid_token", f"The token was issued for an earlier service named {self._name}.")
        if self._is_revoked(claims):
            return refuse("token_revoked", "The token was revoked: request a new one.")
        if why := token.why_not_now(claims, exchange.wall):
            self._world.verified.pop(credential, None)
            return refuse("token_not_now", why)
        verb = NEEDED.get(exchange.operation, "score")
        if verb not in claims.verbs:
            detail = f"The token does not allow {verb!r}: ask for one that does."
            return refuse("insufficient_scope", detail, status=403, error="insufficient_scope")
        exchange.opens_from = max(claims.not_before, claims.issued_at) - token.LEEWAY_SECONDS
        exchange.opens_until = claims.expires_at
        return caller

    def _is_revoked(self, claims: token.Claims) -> bool:
        revoked = self._revoked
        return (
            claims.issued_at < revoked.before
            or claims.token_id in revoked.token_ids
            or claims.issued_at < revoked.subjects.get(claims.subject, 0)
        )
