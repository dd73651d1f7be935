"""The worker's end of its Unix socket to the control process: snapshots in, acknowledgements and counts out.

A control process that is gone changes nothing for clients: the worker serves what it knows and calls again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

from gateway.core.message import (
    TO_CONTROL,
    TO_WORKER,
    Ack,
    Collect,
    Counts,
    Frames,
    Hello,
    Publish,
    Stored,
    Uses,
    frame,
)
from gateway.core.snapshot import Update
from gateway.proxy.uses import KeyUses

log = logging.getLogger("gateway.worker")

RETRY_SECONDS = 0.2
READ_BYTES = 1 << 20
PART_SECONDS = 1.0


class Link:
    """Calls the control process and stays connected. `apply` serves an update and returns what kept its old entry."""

    __slots__ = ("_answered", "_apply", "_collect", "_hello", "_path", "_uses", "_writer", "connected")

    def __init__(
        self,
        path: Path,
        hello: Hello,
        apply: Callable[[Update], dict[str, str]],
        collect: Callable[[], list[tuple[str, tuple[str, ...], tuple[float, ...]]]],
        uses: KeyUses,
    ) -> None:
        self._path = path
        self._hello = hello
        self._apply = apply
        self._collect = collect
        self._uses = uses
        self._writer: asyncio.StreamWriter | None = None
        self._answered = asyncio.Event()
        self.connected = False

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(str(self._path))
            except OSError:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            try:
                await self._converse(reader, writer)
            except (OSError, ValueError) as error:
                log.warning("the link to the control process broke: %s", error)
            finally:
                self.connected, self._writer = False, None
                self._answered.set()
                writer.close()
            await asyncio.sleep(RETRY_SECONDS)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(TO_CONTROL.dump_json(self._hello)))
        frames = Frames()
        while data := await reader.read(READ_BYTES):
            for payload in frames.feed(data):
                self._answer(payload, writer)
            await writer.drain()

    def _answer(self, payload: bytes, writer: asyncio.StreamWriter) -> None:
        message = TO_WORKER.validate_json(payload)
        if isinstance(message, Publish):
            kept_old = self._apply(message.update)
            writer.write(frame(TO_CONTROL.dump_json(Ack(message.update.serial, kept_old))))
            if not self.connected:
                self.connected, self._writer = True, writer
                self._send(self._uses.again())
        elif isinstance(message, Collect):
            writer.write(frame(TO_CONTROL.dump_json(Counts(message.serial, self._collect()))))
        elif isinstance(message, Stored):
            self._uses.stored(message.serial)
            self._answered.set()
            self.tell_uses()

    def tell_uses(self) -> None:
        """Send what there is to tell of the uses of keys."""
        if self._writer is not None:
            self._send(self._uses.next())

    async def part(self) -> None:
        """Tell the last uses of keys, and wait until they are stored; a while at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PART_SECONDS):
                while self._writer is not None and not self._uses.is_told:
                    self._answered.clear()
                    self.tell_uses()
                    await self._answered.wait()

    def _send(self, message: Uses | None) -> None:
        if message is not None and self._writer is not None:
            self._writer.write(frame(TO_CONTROL.dump_json(message)))
