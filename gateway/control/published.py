"""What was published last, whole: what a worker that connects later gets. Encoded in slices: the loop goes on."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from pydantic import TypeAdapter

from gateway.core.message import TO_WORKER, Publish
from gateway.core.snapshot import CallerEntry, RosterChange, ServiceEntry, Trust, Update

SLICE_SECONDS = 0.002
"""How long a snapshot may be worked on before the loop gets its turn."""
CHUNK_ENTRIES = 200
SERVICES, ROSTERS = b'"services":[', b'],"rosters":['
EMPTY_LISTS = SERVICES + ROSTERS + b"]"

_ENTRY = TypeAdapter(ServiceEntry)
_ROSTER = TypeAdapter(RosterChange)
E = TypeVar("E")


class Published:
    """Services, their named callers, and trust."""

    def __init__(self) -> None:
        self._entries: dict[str, ServiceEntry] = {}
        self._encoded: dict[str, bytes] = {}
        self._rosters: dict[str, dict[str, CallerEntry]] = {}
        self._trust: Trust | None = None

    def remember(self, update: Update) -> None:
        """This change is published now."""
        for entry in update.services:
            self._entries[entry.name] = entry
            self._encoded.pop(entry.name, None)
        for name in update.removed:
            for known in (self._entries, self._encoded, self._rosters):
                known.pop(name, None)
        for change in update.rosters:
            roster = self._rosters.setdefault(change.service, {})
            for name in change.gone:
                roster.pop(name, None)
            roster.update({caller.name: caller for caller in change.callers})
        self._trust = update.trust or self._trust

    def snapshot(self, serial: int) -> Snapshot:
        """All of it as it is at this moment."""
        return Snapshot(self, serial, list(self._entries.values()), self._callers(), self._trust)

    def encode(self, entry: ServiceEntry) -> bytes:
        """JSON of an entry, kept while it is the one served: workers mostly start together."""
        if self._entries.get(entry.name) is not entry:
            return _ENTRY.dump_json(entry)
        encoded = self._encoded.get(entry.name)
        if encoded is None:
            encoded = self._encoded[entry.name] = _ENTRY.dump_json(entry)
        return encoded

    def _callers(self) -> list[RosterChange]:
        return [
            RosterChange(service=service, callers=tuple(callers[at : at + CHUNK_ENTRIES]))
            for service, callers in ((service, list(roster.values())) for service, roster in self._rosters.items())
            for at in range(0, len(callers), CHUNK_ENTRIES)
        ]


class Snapshot:
    """What was published up to one moment. Changes that follow are none of its business."""

    def __init__(
        self,
        published: Published,
        serial: int,
        entries: list[ServiceEntry],
        rosters: list[RosterChange],
        trust: Trust | None,
    ) -> None:
        self._published = published
        self._serial = serial
        self._entries = entries
        self._rosters = rosters
        self._trust = trust

    async def message(self) -> tuple[int, Iterator[bytes]]:
        """A full `Publish`: its length in bytes, and its pieces, each made when it is asked for."""
        services = await _in_slices(self._published.encode, self._entries)
        rosters = await _in_slices(_ROSTER.dump_json, self._rosters)
        empty = TO_WORKER.dump_json(Publish(Update(serial=self._serial, full=True, trust=self._trust)))
        head, tail = empty.split(EMPTY_LISTS)
        length = len(empty) + sum(sum(map(len, items)) + max(len(items) - 1, 0) for items in (services, rosters))
        pieces = ((head + SERVICES,), _joined(services), (ROSTERS,), _joined(rosters), (b"]" + tail,))
        return length, itertools.chain.from_iterable(pieces)


async def _in_slices(encode: Callable[[E], bytes], items: list[E]) -> list[bytes]:
    """Each of them as JSON."""
    encoded: list[bytes] = []
    until = time.perf_counter() + SLICE_SECONDS
    for item in items:
        encoded.append(encode(item))
        if time.perf_counter() > until:
            await asyncio.sleep(0)
            until = time.perf_counter() + SLICE_SECONDS
    return encoded


def _joined(items: list[bytes]) -> Iterator[bytes]:
    """The items of a JSON list in pieces."""
    for at in range(0, len(items), CHUNK_ENTRIES):
        chunk = b",".join(items[at : at + CHUNK_ENTRIES])
        yield chunk if at == 0 else b"," + chunk
