"""The worker's end of its Unix socket to the control process: snapshots in, acknowledgements and counts out.

A control process that is gone changes nothing for clients: the worker serves what it knows and calls again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from gateway.core.message import TO_CONTROL, TO_WORKER, Ack, Collect, Counts, Frames, Hello, Publish, frame
from gateway.core.snapshot import Update

log = logging.getLogger("gateway.worker")

RETRY_SECONDS = 0.2
READ_BYTES = 1 << 20


class Link:
    """Calls the control process and stays connected. `apply` serves an update and returns what kept its old entry."""

    __slots__ = ("_apply", "_collect", "_hello", "_path", "connected")

    def __init__(
        self,
        path: Path,
        hello: Hello,
        apply: Callable[[Update], dict[str, str]],
        collect: Callable[[], list[tuple[str, tuple[str, ...], tuple[float, ...]]]],
    ) -> None:
        self._path = path
        self._hello = hello
        self._apply = apply
        self._collect = collect
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
                self.connected = False
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
            self.connected = True
            writer.write(frame(TO_CONTROL.dump_json(Ack(message.update.serial, kept_old))))
        elif isinstance(message, Collect):
            writer.write(frame(TO_CONTROL.dump_json(Counts(message.serial, self._collect()))))
