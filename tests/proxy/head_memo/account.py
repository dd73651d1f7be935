"""What comes of a data plane, to be compared with what comes of another."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

SHOWN = 400


class Account:
    """What came of a data plane since it was last looked at: bytes by wire, log records, events."""

    def __init__(self) -> None:
        self.bytes: dict[str, bytearray] = {}
        self.records: list[dict[str, Any]] = []
        self.events: list[str] = []
        self.complaints: list[str] = []

    def __str__(self) -> str:
        return f"{self.bytes} {self.records} {self.events}"

    def write(self, wire: str, data: Any) -> None:
        known = self.bytes.get(wire)
        if known is None:
            self.bytes[wire] = bytearray(data)
        else:
            known += data

    def clear(self) -> None:
        self.bytes.clear()
        self.records.clear()
        self.events.clear()

    def difference(self, other: Account) -> str:
        """The first thing in which it differs from the other; empty if in nothing."""
        if self.bytes != other.bytes:
            wire = next(name for name in (*self.bytes, *other.bytes) if self.bytes.get(name) != other.bytes.get(name))
            mine, its = (bytes(account.bytes.get(wire, b"")) for account in (self, other))
            # Both from the beginning of the line in which they part.
            parting = next(at for at, pair in enumerate(zip_longest(mine, its)) if pair[0] != pair[1])
            start = mine.rfind(b"\n", 0, parting) + 1
            return _told(f"bytes of {wire} from {start} on", mine[start : start + SHOWN], its[start : start + SHOWN])
        for what in ("records", "events"):
            mine, its = getattr(self, what), getattr(other, what)
            if mine != its:
                pairs = zip_longest(mine, its)
                return _told(what, *next(pair for pair in pairs if pair[0] != pair[1]))
        return ""


def _told(what: str, mine: Any, its: Any) -> str:
    return f"{what}:\n  off: {mine!r}\n  on:  {its!r}"
