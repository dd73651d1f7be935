"""A worker that speaks the link and serves nobody, and its process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.core.message import TO_CONTROL, TO_WORKER, Ack, Collect, Counts, Frames, Hello, Stored, ToWorker, frame
from gateway.core.snapshot import CallerEntry, ServiceEntry, Trust


@dataclass
class FakeProcess:
    """Stands for the process of a fake worker. `end` is told to the worker, which dies then."""

    gone: Callable[[], None]
    end_worker: Callable[[], None]
    ended: bool = False

    def end(self) -> None:
        self.ended = True
        self.end_worker()
        self.gone()

    def disconnected(self) -> None:
        """The link has no pidfd here: like the kernel would, the worker tells of its end itself."""

    def release(self) -> None:
        pass


@dataclass
class FakeWorker:
    """A worker that serves what it is told. `acks` cleared: it receives, but neither applies nor acknowledges."""

    path: Path
    life: str
    number: int = 1
    rows: list[Any] = field(default_factory=list)
    refuses: dict[str, str] = field(default_factory=dict)
    services: dict[str, ServiceEntry] = field(default_factory=dict)
    callers: dict[str, dict[str, CallerEntry]] = field(default_factory=dict)
    trust: Trust | None = None
    serials: list[int] = field(default_factory=list)
    pid: int = field(default_factory=os.getpid)

    def __post_init__(self) -> None:
        self.acks = asyncio.Event()
        self.acks.set()
        self.counts = asyncio.Event()
        self.counts.set()
        self.received = asyncio.Event()
        self.stored: asyncio.Queue[Stored] = asyncio.Queue()
        self.updates = 0

    async def connect(self) -> FakeWorker:
        self.reader, self.writer = await asyncio.open_unix_connection(str(self.path))
        self.task = asyncio.create_task(self._run())
        return self

    async def disconnect(self) -> None:
        self.task.cancel()
        self.writer.close()
        await asyncio.gather(self.task, return_exceptions=True)

    def die(self) -> None:
        self.task.cancel()
        self.writer.transport.abort()

    async def until_received(self, updates: int) -> None:
        async with asyncio.timeout(5):
            while self.updates < updates:
                self.received.clear()
                await self.received.wait()

    def send(self, message: Any) -> None:
        self.writer.write(frame(TO_CONTROL.dump_json(message)))

    async def _run(self) -> None:
        self.send(Hello(self.number, self.pid, self.life))
        frames = Frames()
        while data := await self.reader.read(1 << 20):
            for payload in frames.feed(data):
                await self._handle(TO_WORKER.validate_json(payload))

    async def hear_stored(self) -> Stored:
        """The next word of the control process that uses of keys are stored."""
        async with asyncio.timeout(10):
            return await self.stored.get()

    async def _handle(self, message: ToWorker) -> None:
        if isinstance(message, Stored):
            self.stored.put_nowait(message)
            return
        if isinstance(message, Collect):
            await self.counts.wait()
            self.send(Counts(message.serial, self.rows))
            return
        self.updates += 1
        self.received.set()
        await self.acks.wait()
        update = message.update
        if update.full:
            self.services, self.callers = {}, {}
        self.services |= {entry.name: entry for entry in update.services if entry.name not in self.refuses}
        for name in update.removed:
            self.services.pop(name, None)
            self.callers.pop(name, None)
        for change in update.rosters:
            roster = self.callers.setdefault(change.service, {})
            for name in change.gone:
                del roster[name]
            roster |= {caller.name: caller for caller in change.callers}
        self.trust = update.trust or self.trust
        self.serials.append(update.serial)
        kept = {entry.name: self.refuses[entry.name] for entry in update.services if entry.name in self.refuses}
        self.send(Ack(update.serial, kept))
