"""Entries of the audit log that may come in floods: the first of a kind is told, those like it are counted.

What is counted is told in one entry when its time is over. So a flood costs two entries in ten minutes, and the disk
stays what it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.core.audit import AuditEntry

WINDOW_SECONDS = 600.0

Kind = tuple[str, str, str, str, str, str]


@dataclass(slots=True)
class _Seen:
    first: AuditEntry
    until: float
    more: int = 0


class Repeats:
    """`kinds`: how many are known at once. `collapse`: those beyond are one kind together; else each is told."""

    def __init__(self, kinds: int, *, collapse: bool) -> None:
        self._kinds = kinds
        self._collapse = collapse
        self._seen: dict[Kind, _Seen] = {}

    def take(self, entry: AuditEntry, now: float) -> AuditEntry | None:
        """The entry to be told now; None when it was counted."""
        seen = self._seen.get(_kind(entry))
        if seen is None and len(self._seen) >= self._kinds:
            if not self._collapse:
                return entry
            entry = replace(entry, actor="-", address="(others)", action="-", service="", target="")
            seen = self._seen.get(_kind(entry))
        if seen is not None:
            seen.more += 1
            return None
        self._seen[_kind(entry)] = _Seen(entry, now + WINDOW_SECONDS)
        return entry

    def over(self, now: float) -> list[AuditEntry]:
        """What was counted in windows that are over at `now` (seconds of the clock that `take` is given)."""
        ended = [kind for kind, seen in self._seen.items() if seen.until <= now]
        counted = [self._seen.pop(kind) for kind in ended]
        return [
            replace(seen.first, result=f"{seen.first.result}, {seen.more} more times since")
            for seen in counted
            if seen.more
        ]


def _kind(entry: AuditEntry) -> Kind:
    return entry.actor, entry.address, entry.action, entry.service, entry.target, entry.result
