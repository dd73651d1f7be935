"""What compiled checks may look at besides the request: trust and counters that all services share."""

from __future__ import annotations

import math
from collections.abc import Iterable

from gateway.core import token
from gateway.core.exchange import Caller
from gateway.core.gcra import Cells, Limit
from gateway.core.key import Digester
from gateway.core.snapshot import RosterChange, Trust
from gateway.core.spec import RateLimitSpec
from gateway.policy.roster import Roster

MAX_VERIFIED_TOKENS = 10_000

Verified = tuple[token.Claims, Caller]


class World:
    """One per worker. `trust` is replaced as a whole when signing keys change.

    `verified`: tokens seen lately that one of our keys signed. Whether one opens a service now is judged each time.
    """

    __slots__ = ("_verifier", "cells", "digester", "failures", "rosters", "trust", "verified")

    def __init__(self, trust: Trust, cells: Cells, failures_per_minute: int = 0) -> None:
        """`failures_per_minute`: wrong credentials of one address at one service; 0: any number."""
        self.cells = cells
        self.failures = Limit.of(RateLimitSpec("failures", failures_per_minute, 60.0)) if failures_per_minute else None
        self.rosters: dict[str, Roster] = {}
        self.verified: dict[bytes, Verified] = {}
        self.trust = trust
        self.digester = Digester(trust.digest_key)
        self.replace_trust(trust)

    def replace_trust(self, trust: Trust) -> None:
        """Judge credentials by this from now on. What was verified by a key that is gone is so no more."""
        self._verifier = token.Verifier(trust.issuer, trust.verifying_keys)
        self.digester = Digester(trust.digest_key)
        if trust.issuer != self.trust.issuer:
            self.verified.clear()
        last = {key.kid: math.inf if key.not_after is None else key.not_after for key in trust.verifying_keys}
        for credential, (claims, _) in list(self.verified.items()):
            if claims.expires_at > last.get(claims.kid, 0.0):
                del self.verified[credential]
        self.trust = trust

    def enroll(self, change: RosterChange) -> None:
        """Know these named callers of a service from now on, and forget those that are gone."""
        self.rosters.setdefault(change.service, Roster()).apply(change)

    def dismiss(self, services: Iterable[str]) -> None:
        """Forget all named callers of these services, in the checks that are compiled already, too."""
        for name in services:
            if name in self.rosters:
                self.rosters.pop(name).clear()

    def verify(self, credential: bytes) -> Verified:
        """A token's claims, and whom it lets in; remembered, since verifying costs 100 µs. Raises TokenError."""
        claims = self._verifier.verify(credential)
        known = claims, Caller("token", claims.subject, claims.token_id)
        if len(self.verified) >= MAX_VERIFIED_TOKENS:
            del self.verified[next(iter(self.verified))]
        self.verified[credential] = known
        return known
