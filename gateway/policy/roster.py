"""The named callers of one service, as a worker holds them: who opens what with which key, under which own limits.

Changed in place, one caller at a time: ten thousand are not compiled anew because one of them was revoked. Checks that
look into a roster are compiled again after each change: a service without limited callers has no check of their limits.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from gateway.core.exchange import Caller, Exchange
from gateway.core.gcra import Limit, cell_key
from gateway.core.problem import Reply
from gateway.core.snapshot import CallerEntry, RosterChange
from gateway.core.spec import RateLimitSpec
from gateway.core.verb import NEEDED
from gateway.policy.challenge import refuse, refuse_ended

OwnLimits = tuple[tuple[Limit, Callable[[Exchange], int]], ...]
"""(limit, what tells the key of its cell), in the order in which they are asked."""


class Holder:
    """A key of a named caller. `digest`: what it was found by; `until`: Unix seconds."""

    __slots__ = ("_ended", "_until", "_verbs", "caller", "digest")

    def __init__(self, digest: bytes, caller: Caller, verbs: tuple[str, ...], until: float, ended: str) -> None:
        """`ended`: what there is to say from `until` on."""
        self.digest = digest
        self.caller = caller
        self._verbs = verbs
        self._until = until
        self._ended = ended

    def open(self, exchange: Exchange) -> Caller | Reply:
        """The caller, or why its key does not open this, now."""
        if exchange.wall >= self._until:
            return refuse_ended(self._ended, self._until)
        exchange.opens_until = self._until
        verb = NEEDED.get(exchange.operation, "score")
        if verb not in self._verbs:
            detail = f"The key of {self.caller.subject} does not allow {verb!r}."
            return refuse("insufficient_scope", detail, status=403, error="insufficient_scope")
        return self.caller


class Roster:
    """`holders`: by digest of the key. `limits`: by key id, of callers that have any."""

    __slots__ = ("_named", "holders", "limits")

    def __init__(self) -> None:
        self.holders: dict[bytes, Holder] = {}
        self.limits: dict[str, OwnLimits] = {}
        self._named: dict[str, tuple[Holder, ...]] = {}

    def apply(self, change: RosterChange) -> None:
        """Know the callers that are new or changed, forget those that are gone."""
        for name in change.gone:
            self._drop(name)
        for entry in change.callers:
            self._drop(entry.name)
            self._add(change.service, entry)

    def clear(self) -> None:
        """Forget all of them."""
        for known in (self.holders, self.limits, self._named):
            known.clear()

    def _add(self, service: str, entry: CallerEntry) -> None:
        holders = self._named[entry.name] = _holders(entry)
        limits = tuple((Limit.of(spec), _key_of(service, entry.name, spec)) for spec in entry.rate_limits)
        for holder in holders:
            self.holders[holder.digest] = holder
            if limits:
                self.limits[holder.caller.key_id] = limits

    def _drop(self, name: str) -> None:
        for holder in self._named.pop(name, ()):
            del self.holders[holder.digest]
            self.limits.pop(holder.caller.key_id, None)


def _holders(entry: CallerEntry) -> tuple[Holder, ...]:
    ends = math.inf if entry.expires_at is None else entry.expires_at
    ended = f"The key of {entry.name} expired at"
    holders = (Holder(entry.digest, Caller("key", entry.name, entry.id), entry.verbs, ends, ended),)
    former = entry.former
    if former is None:
        return holders
    if former.until < ends:
        ends, ended = former.until, f"This key of {entry.name} was replaced, and opened until"
    return (*holders, Holder(former.digest, Caller("key", entry.name, former.id), entry.verbs, ends, ended))


def _key_of(service: str, caller: str, spec: RateLimitSpec) -> Callable[[Exchange], int]:
    fixed = cell_key(f"{service}\0caller\0{caller}\0{spec.name}\0{spec.requests}/{spec.per_seconds}")
    return lambda _: fixed
