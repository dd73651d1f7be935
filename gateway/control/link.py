"""The control process's end of the worker link: pushes what to serve, waits for every worker, collects counts.

The rule that makes a rotated key dead: `publish` returns only when each worker process of this replica has either
acknowledged the change or ended. That holds for one that is starting or has lost its connection, too.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.control.peer import Peer
from gateway.control.pidfd import WorkerProcess
from gateway.control.published import Published, Snapshot
from gateway.control.tally import Series, Tally
from gateway.core.message import TO_WORKER, Ack, Collect, Hello, Publish, Stored, ToControl, Uses
from gateway.core.record import KeyUseRecord
from gateway.core.snapshot import RosterChange, ServiceEntry, Trust, Update

log = logging.getLogger("gateway.control")


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Who serves a change: how many workers, and which services kept their old entry, with the reason."""

    workers: int
    kept_old: dict[str, str]


class Process(Protocol):
    """A worker process, as `pidfd.WorkerProcess` holds it."""

    def end(self) -> None:
        """Kill it."""

    def disconnected(self) -> None:
        """Its connection has ended."""

    def release(self) -> None:
        """Stop watching."""


Adopt = Callable[[int, Callable[[], None]], Process]
KeepUses = Callable[[Sequence[KeyUseRecord], Callable[[], None]], None]
"""Takes uses of keys; calls back when they are stored."""


@dataclass(slots=True, eq=False)
class _Worker:
    """One worker process from its first Hello to its end, over any number of connections."""

    hello: Hello
    process: Process | None = None
    peer: Peer | None = None
    first: int = 0
    acked: int = 0
    counted: int = 0
    used: int = 0
    stored: int = 0
    kept_old: dict[str, str] = field(default_factory=dict)
    gone: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self) -> None:
        """Wake whoever waits for this worker."""
        self.changed.set()
        self.changed = asyncio.Event()

    async def until(self, condition: Callable[[], bool], seconds: float | None) -> bool:
        """Wait for the condition or the worker's end. Returns whether the condition holds."""
        try:
            async with asyncio.timeout(seconds):
                while not (condition() or self.gone):
                    await self.changed.wait()
        except TimeoutError:
            pass  # the answer may have come in the same turn of the loop as the timer: look again below
        return condition()


class Link:
    """Listens for workers. What was published last is what a worker that connects later gets, whole."""

    def __init__(
        self,
        *,
        tally: Tally,
        keep_uses: KeepUses,
        adopt: Adopt = WorkerProcess,
        ack_seconds: float = 1.0,
        start_seconds: float = 30.0,
        collect_seconds: float = 0.5,
    ) -> None:
        """`adopt` takes hold of a process by its pid. A starting worker has `start_seconds` for its first snapshot."""
        self._tally = tally
        self._keep_uses = keep_uses
        self._adopt = adopt
        self._ack_seconds = ack_seconds
        self._start_seconds = start_seconds
        self._collect_seconds = collect_seconds
        self._serial = 0
        self._collects = 0
        self._published = Published()
        self._workers: dict[str, _Worker] = {}
        self._server: asyncio.Server | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._gathered = asyncio.Event()

    async def start(self, listener: socket.socket) -> None:
        """Accept workers on a listening Unix socket. Publish the first snapshot before."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: Peer(self._received, self._disconnected), sock=listener)

    async def close(self) -> None:
        """End all connections; the workers go on serving what they know."""
        if self._server is not None:
            self._server.close()
        for task in self._sending:
            task.cancel()
        for worker in list(self._workers.values()):
            worker.gone = True
            worker.note()
            if worker.process is not None:
                worker.process.release()
            if worker.peer is not None:
                worker.peer.close()
        await asyncio.gather(*self._sending, return_exceptions=True)

    @property
    def ready(self) -> int:
        """How many connected workers serve the newest snapshot."""
        return sum(worker.peer is not None and worker.acked == self._serial for worker in self._workers.values())

    async def gathered(self, workers: int) -> None:
        """Return once so many workers serve the newest snapshot."""
        while self.ready < workers:
            await self._gathered.wait()

    async def publish(
        self,
        *,
        services: tuple[ServiceEntry, ...] = (),
        rosters: tuple[RosterChange, ...] = (),
        removed: tuple[str, ...] = (),
        trust: Trust | None = None,
    ) -> Acknowledged:
        """Push a change and wait until no worker serves what was before. A worker that does not answer is ended."""
        self._serial += 1
        update = Update(serial=self._serial, services=services, rosters=rosters, removed=removed, trust=trust)
        self._remember(update)
        workers = list(self._workers.values())
        if workers:
            payload = TO_WORKER.dump_json(Publish(update))
            for worker in workers:
                if worker.peer is not None:
                    worker.peer.send(payload)
        outcomes = await asyncio.gather(*(self._settled(worker, update.serial) for worker in workers))
        kept_old: dict[str, str] = {}
        for worker in workers:
            kept_old |= {name: why for name, why in worker.kept_old.items() if name in {s.name for s in services}}
        return Acknowledged(sum(outcomes), kept_old)

    async def collect(self) -> Series:
        """What all workers counted: fresh from those that answer in time, else what they said last."""
        self._collects += 1
        serial = self._collects
        asked = [worker for worker in self._workers.values() if worker.peer is not None]
        for worker in asked:
            assert worker.peer is not None
            worker.peer.send(TO_WORKER.dump_json(Collect(serial)))
        await asyncio.gather(*(self._counted(worker, serial) for worker in asked))
        return self._tally.totals({worker.hello.life for worker in self._workers.values() if worker.peer is not None})

    async def _counted(self, worker: _Worker, serial: int) -> None:
        await worker.until(lambda: worker.counted >= serial or worker.peer is None, self._collect_seconds)

    async def _settled(self, worker: _Worker, serial: int) -> bool:
        """Whether the worker acknowledged; if not, it has ended when this returns."""

        def acknowledged() -> bool:
            return worker.acked >= serial

        if worker.acked < worker.first:
            await worker.until(lambda: worker.acked >= worker.first, self._start_seconds)
        if not await worker.until(acknowledged, self._ack_seconds) and not worker.gone:
            log.error("worker %s (pid %s) did not acknowledge a change: ended", worker.hello.worker, worker.hello.pid)
            assert worker.process is not None
            worker.process.end()
            await worker.until(acknowledged, None)
        return acknowledged() and not worker.gone

    def _remember(self, update: Update) -> None:
        self._published.remember(update)
        for name in update.removed:
            self._tally.forget(name)

    def _received(self, peer: Peer, message: ToControl) -> None:
        if isinstance(message, Hello):
            self._greeted(peer, message)
            return
        worker = self._workers.get(peer.life)
        if worker is None or worker.peer is not peer:
            return
        if isinstance(message, Ack):
            worker.acked = max(worker.acked, message.serial)
            worker.kept_old = message.kept_old
            self._announce()
        elif isinstance(message, Uses):
            self._used(worker, message)
        else:
            worker.counted = max(worker.counted, message.serial)
            self._tally.record(worker.hello.life, message.rows)
        worker.note()

    def _used(self, worker: _Worker, message: Uses) -> None:
        def stored() -> None:
            worker.stored = message.serial
            if worker.peer is not None:
                worker.peer.send(TO_WORKER.dump_json(Stored(message.serial)))

        # Over a new connection a worker repeats what it has no answer to: that may be here, or be stored, already.
        if message.serial > worker.used:
            worker.used = message.serial
            self._keep_uses(message.records, stored)
        elif message.serial == worker.stored:
            stored()

    def _greeted(self, peer: Peer, hello: Hello) -> None:
        worker = self._workers.get(hello.life)
        if worker is None:
            worker = _Worker(hello)
            try:
                worker.process = self._adopt(hello.pid, lambda: self._ended(hello.life))
            except ProcessLookupError:
                peer.close()
                return
            self._workers[hello.life] = worker
        elif worker.peer is not None:
            worker.peer.close()
        peer.life = hello.life
        worker.peer, worker.first, worker.acked = peer, self._serial, 0
        peer.hold()
        sending = self._send_snapshot(peer, self._published.snapshot(self._serial))
        task = asyncio.get_running_loop().create_task(sending)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send_snapshot(self, peer: Peer, snapshot: Snapshot) -> None:
        """Changes published meanwhile wait in the peer and follow it in order."""
        await peer.send_held(*await snapshot.message())

    def _disconnected(self, peer: Peer) -> None:
        worker = self._workers.get(peer.life)
        if worker is not None and worker.peer is peer:
            worker.peer = None
            worker.note()
            assert worker.process is not None
            worker.process.disconnected()

    def _ended(self, life: str) -> None:
        worker = self._workers.pop(life, None)
        if worker is not None:
            worker.gone = True
            self._tally.end(life)
            worker.note()

    def _announce(self) -> None:
        self._gathered.set()
        self._gathered = asyncio.Event()
