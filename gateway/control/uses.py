"""How often keys were used: what the workers tell is stored, and kept here to be shown. Hour by hour, for a day.

Rule: what a worker told is its own until it is stored; then it is told so. Nothing here is on the path of a request.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.core.record import KeyUseRecord
from gateway.core.store import Store, StoreError

HOUR_SECONDS = 3600
HOURS = 24
RETRY_SECONDS = 5.0

log = logging.getLogger("gateway.control")


@dataclass(frozen=True, slots=True)
class Use:
    """`uses_24h`: in this hour and the 24 before it, so that it is never less than in 24 hours."""

    uses_24h: int
    last_used_at: datetime | None


NEVER = Use(0, None)


class Uses:
    """What is known of all keys, by their public ids."""

    def __init__(self, records: Iterable[KeyUseRecord] = (), clock: Callable[[], float] = time.time) -> None:
        self._hours: dict[str, dict[int, int]] = {}
        self._last: dict[str, int] = {}
        self._clock = clock
        self.add(records)

    @property
    def hour(self) -> int:
        """The hour it is, as in the records."""
        return int(self._clock()) // HOUR_SECONDS

    def of(self, key_id: str) -> Use:
        """What is known of a key."""
        last = self._last.get(key_id)
        if last is None:
            return NEVER
        first = self.hour - HOURS
        # A copy, since the metrics are written in another thread.
        uses = sum(uses for hour, uses in self._hours[key_id].copy().items() if hour >= first)
        return Use(uses, datetime.fromtimestamp(last, UTC))

    def last_used(self, key_id: str) -> int | None:
        """When a key was last used (Unix seconds)."""
        return self._last.get(key_id)

    def add(self, records: Iterable[KeyUseRecord]) -> None:
        """These uses are stored."""
        for record in records:
            hours = self._hours.setdefault(record.key_id, {})
            hours[record.hour] = hours.get(record.hour, 0) + record.uses
            self._last[record.key_id] = max(record.last_used, self._last.get(record.key_id, 0))

    def forget(self, before_hour: int, ids: Collection[str]) -> None:
        """Drop hours before that one, and keys that are none of these ids and were not used since."""
        for key_id, hours in list(self._hours.items()):
            for hour in [hour for hour in hours if hour < before_hour]:
                del hours[hour]
            if not hours and key_id not in ids:
                del self._hours[key_id], self._last[key_id]


class UseKeeper:
    """Stores what the workers tell, in the order in which it comes."""

    def __init__(self, uses: Uses, store: Store, thread: Executor) -> None:
        """`thread`: the one thread in which the store is called."""
        self._uses = uses
        self._store = store
        self._thread = thread
        self._waiting: asyncio.Queue[tuple[Sequence[KeyUseRecord], Callable[[], None]]] = asyncio.Queue()
        self._tidied = uses.hour

    def keep(self, records: Sequence[KeyUseRecord], stored: Callable[[], None]) -> None:
        """Store these soon; `stored` is called then."""
        self._waiting.put_nowait((records, stored))

    async def run(self, ids: Callable[[], Collection[str]]) -> None:
        """Store until cancelled. While the store is away everything waits: here, and in the workers.

        `ids`: of all keys that there are; the last use of others is forgotten after a day.
        """
        while True:
            told = await self._waiting.get()
            while True:
                if await self._try(*told):
                    break
                await asyncio.sleep(RETRY_SECONDS)
            await self._tidy(ids)

    async def close(self) -> None:
        """Store what has come, if that is possible now."""
        while not self._waiting.empty() and await self._try(*self._waiting.get_nowait()):
            pass

    async def _try(self, records: Sequence[KeyUseRecord], stored: Callable[[], None]) -> bool:
        if not await self._call(lambda: self._store.add_key_uses(records)):
            return False
        self._uses.add(records)
        stored()
        return True

    async def _tidy(self, ids: Callable[[], Collection[str]]) -> None:
        """Once an hour."""
        hour = self._uses.hour
        if hour == self._tidied:
            return
        self._tidied, first = hour, hour - HOURS
        if await self._call(lambda: self._store.forget_key_uses(first)):
            self._uses.forget(first, ids())

    async def _call(self, work: Callable[[], None]) -> bool:
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except StoreError as error:
            log.warning("the uses of keys wait for the store: %s", error)
            return False
        return True
