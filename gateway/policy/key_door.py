"""The door that opens with one of a service's keys: a look-up by HMAC, compared in constant time at last.

Every value has its time: a key may expire, and one that was replaced opens until its grace is over.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from hmac import compare_digest

from gateway.core import key
from gateway.core.exchange import Caller, Exchange
from gateway.core.problem import Reply
from gateway.core.snapshot import KeyEntry, ServiceEntry
from gateway.core.token import looks_like_token
from gateway.policy.challenge import refuse, refuse_ended
from gateway.policy.world import World

Held = tuple[bytes, Caller, float, bool]
"""A value that opens: its digest, who comes in, until when (Unix seconds), and whether another took its place."""


class KeyDoor:
    """The keys of one service, by their digests; then those of its named callers."""

    __slots__ = ("_digest", "_held", "_name", "_roster")

    def __init__(self, entry: ServiceEntry, world: World) -> None:
        self._name = entry.name
        self._digest = world.digester.digest
        self._roster = world.rosters.get(entry.name)
        # A value that is both in force and replaced somewhere is in force: those come last.
        held = [*_former(entry), *_current(entry)]
        self._held: dict[bytes, Held] = {one[0]: one for one in held}

    def open(self, credential: bytes, exchange: Exchange) -> Caller | Reply:
        """Who holds this key, or why it opens nothing here and now."""
        digest = self._digest(credential)
        held = self._held.get(digest)
        if held is not None and compare_digest(held[0], digest):
            exchange.opens_until = held[2]
            return held[1] if exchange.wall < held[2] else self._refuse_ended(held)
        holder = self._roster.holders.get(digest) if self._roster is not None else None
        if holder is not None and compare_digest(holder.digest, digest):
            return holder.open(exchange)
        if looks_like_token(credential):
            return refuse("token_not_accepted", f"{self._name} opens with a key, not with a token.")
        if key.is_mistyped(credential.decode("latin-1")):
            return refuse("mistyped_key", "The key's checksum does not fit: it was not copied whole, or was changed.")
        return refuse(
            "wrong_key", f"The key opens nothing at {self._name}: it is another service's, or was regenerated."
        )

    def _refuse_ended(self, held: Held) -> Reply:
        _, caller, until, is_former = held
        if is_former:
            return refuse_ended(f"This {caller.slot} key of {self._name} was replaced, and opened until", until)
        return refuse_ended(f"The {caller.slot} key of {self._name} expired at", until)


def _current(entry: ServiceEntry) -> Iterator[Held]:
    for known in entry.keys:
        until = math.inf if known.expires_at is None else known.expires_at
        yield known.digest, _caller(entry, known, known.id), until, False


def _former(entry: ServiceEntry) -> Iterator[Held]:
    for known in entry.keys:
        former = known.former
        if former is not None:
            yield former.digest, _caller(entry, known, former.id), former.until, True


def _caller(entry: ServiceEntry, known: KeyEntry, key_id: str) -> Caller:
    return Caller("key", f"{entry.name}/{known.slot}", key_id, known.slot)
