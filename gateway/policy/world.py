"""What compiled checks may look at besides the request: trust and counters that all services share."""

from __future__ import annotations

from collections import OrderedDict

from gateway.core import token
from gateway.core.gcra import Cells
from gateway.core.snapshot import Trust

MAX_VERIFIED_TOKENS = 10_000


class World:
    """One per worker. `trust` is replaced as a whole when signing keys change, and with it what was verified by it."""

    __slots__ = ("_verified", "_verifier", "cells", "trust")

    def __init__(self, trust: Trust, cells: Cells) -> None:
        self.cells = cells
        self.replace_trust(trust)

    def replace_trust(self, trust: Trust) -> None:
        """Judge credentials by this from now on; every token is verified anew."""
        self.trust = trust
        self._verifier = token.Verifier(trust.issuer, trust.verifying_keys)
        self._verified: OrderedDict[bytes, token.Claims] = OrderedDict()

    def claims(self, credential: bytes) -> token.Claims:
        """The claims of a token that verifies; remembered, since verifying costs 400 µs. Raises TokenError."""
        known = self._verified.get(credential)
        if known is not None:
            return known
        claims = self._verifier.verify(credential)
        if len(self._verified) >= MAX_VERIFIED_TOKENS:
            self._verified.popitem(last=False)
        self._verified[credential] = claims
        return claims
