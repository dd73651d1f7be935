"""Writes to the audit log what changes no record: tokens issued, keys shown, attempts refused; and reads all of it.

A change of a record is not written here: its entry goes with it, in one transaction (`core.store.Store.audited`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from datetime import UTC, datetime

from gateway.control.refusal import Refused
from gateway.control.repeats import Repeats
from gateway.core.audit import CONFIGURATION, GATEWAY, AuditEntry, AuditQuery
from gateway.core.store import Store, StoreError

FLUSH_SECONDS = 1.0
MAX_REFUSALS = 200
"""Kinds of refused attempts that are told apart within ten minutes; what is beyond is counted together."""
MAX_SHOWN = 10_000
MAX_WAITING = 10_000
"""Entries that wait while the store is away; the oldest go first."""

log = logging.getLogger("gateway.control")


class AuditLog:
    """`thread`: the one thread in which the store is called."""

    def __init__(self, store: Store, thread: Executor, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._thread = thread
        self._clock = clock
        self._refused = Repeats(MAX_REFUSALS, collapse=True)
        self._shown = Repeats(MAX_SHOWN, collapse=False)
        self._waiting: deque[AuditEntry] = deque(maxlen=MAX_WAITING)

    async def add(self, entry: AuditEntry) -> None:
        """Write an entry before what it tells of is answered. Raises Refused (503): then it must not be answered."""
        try:
            await self._write((entry,))
        except StoreError as error:
            detail = f"The store does not answer, and nothing is done that is not in the audit log: {error}"
            raise Refused(503, detail, Retry_After="5") from error

    async def show(self, entry: AuditEntry) -> None:
        """Write that a secret is shown, before it is; if the same was shown to the same a short while ago, count it.

        While the store is away the entry waits: clients that read their keys before they score must not stand still.
        """
        told = self._shown.take(entry, self._clock())
        if told is None:
            return
        try:
            await self._write((told,))
        except StoreError:
            self._waiting.append(told)

    def refuse(self, entry: AuditEntry) -> None:
        """Write within a second that an attempt was refused; of a flood only how many."""
        told = self._refused.take(entry, self._clock())
        if told is not None:
            self._waiting.append(told)

    async def started(self, services: int, configuration: str) -> None:
        """Write that a control process serves this many services of a configuration of this hash. Raises StoreError.

        What a control process that was killed had changed by then, and could not tell, is what this one begins with.
        """
        await self._write((_own("start", GATEWAY, f"configuration {configuration}, {services} services"),))

    def reloaded(self, difference: object, configuration: str) -> None:
        """Write within a second what a reload has changed."""
        self._waiting.append(_own("reload", CONFIGURATION, f"configuration {configuration}: {difference}"))

    def token_replaced(self) -> None:
        """Write within a second that another bootstrap token opens now."""
        self._waiting.append(_own("replace_admin_token", GATEWAY, ""))

    async def read(self, wanted: AuditQuery) -> Sequence[AuditEntry]:
        """The entries that the query asks for, oldest first. Raises Refused (503)."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._store.audit, wanted)
        except StoreError as error:
            raise Refused(503, f"The store does not answer: {error}", Retry_After="5") from error

    async def run(self) -> None:
        """Write what waits, once a second."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self._flush(self._clock())

    async def close(self) -> None:
        """Write all that waits or was only counted."""
        await self._flush(float("inf"))

    async def _flush(self, now: float) -> None:
        self._waiting += [*self._refused.over(now), *self._shown.over(now)]
        entries = list(self._waiting)
        if not entries:
            return
        try:
            await self._write(entries)
        except StoreError as error:
            log.warning("%d entries of the audit log wait for the store: %s", len(entries), error)
            return
        for _ in entries:
            self._waiting.popleft()

    async def _write(self, entries: Sequence[AuditEntry]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._store.add_audit, entries)


def _own(action: str, actor: str, target: str) -> AuditEntry:
    return AuditEntry(at=datetime.now(UTC), actor=actor, action=action, target=target)
