"""HTTP as the actors of a world speak it: by hand and strict, so that it is no mirror of the gateway's parser."""

from __future__ import annotations

import asyncio
import hashlib
import re
from typing import Any

from virtual_connection import End
from virtual_time import Process

MAX_READ_AHEAD = 16_384
_HEX = re.compile(rb"[0-9a-f]+")


class CutError(Exception):
    """The connection ended, or was reset, in the middle of a message."""


class NotHttpError(Exception):
    """What arrived is not what HTTP allows."""


def digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()


class Socket(asyncio.Protocol):
    """A connection as an actor uses it: reads as it likes, is made to wait when it writes too fast."""

    def __init__(self, process: Process) -> None:
        self.end: End
        self.has_left = False
        self.is_busy = False
        self._process = process
        self._buffer = bytearray()
        self._is_over = False
        self._error: Exception | None = None
        self._must_wait = False
        self._waiters: list[asyncio.Future[None]] = []

    # --- asyncio.Protocol

    def connection_made(self, transport: Any) -> None:
        self.end = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > MAX_READ_AHEAD:
            self.end.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        self._is_over = True
        self._wake()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_over = True
        self._error = self._error or exc
        self._must_wait = False
        self._wake()

    def pause_writing(self) -> None:
        self._must_wait = True

    def resume_writing(self) -> None:
        self._must_wait = False
        self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _something(self) -> None:
        waiter = self._process.create_future()
        self._waiters.append(waiter)
        await waiter

    # --- what an actor does

    async def write(self, data: bytes) -> None:
        """Raises CutError once the other side is known to be gone."""
        while self._must_wait:
            await self._something()
        if self.end.is_closing() or self.has_left:
            raise CutError
        self.end.write(data)

    async def read(self) -> bytes:
        """What has arrived, at least a byte; b"" at the end."""
        while not self._buffer and not self._is_over:
            await self._something()
        data = bytes(self._buffer)
        self._buffer.clear()
        self.end.resume_reading()
        return data

    async def peek(self) -> bytes:
        """Like `read`, and leaves it there."""
        while not self._buffer and not self._is_over:
            await self._something()
        return bytes(self._buffer)

    def leave(self, how: str) -> None:
        """`close`, `reset` or `half`: only our sending side ends."""
        self.has_left = True
        if how == "half":
            self.end.write_eof()
        elif how == "reset":
            self.end.socket.resets = True
            self.end.abort()
        else:
            self.end.close()
        if how != "half":
            self._is_over = True
            self._error = ConnectionAbortedError()
            self._buffer.clear()
            self._wake()

    @property
    def was_reset(self) -> bool:
        return self._error is not None

    @property
    def consumed(self) -> int:
        """Bytes that arrived and were used."""
        return self.end.received - len(self._buffer)

    # --- messages

    async def until(self, mark: bytes) -> bytes:
        """Everything up to `mark`, without it. Raises CutError."""
        while (at := self._buffer.find(mark)) < 0:
            await self._more()
        data = bytes(self._buffer[:at])
        del self._buffer[: at + len(mark)]
        return data

    async def exactly(self, size: int) -> bytes:
        """So many bytes. Raises CutError."""
        parts = bytearray()
        while len(parts) < size:
            if not self._buffer:
                await self._more()
            piece = self._buffer[: size - len(parts)]
            del self._buffer[: len(piece)]
            parts += piece
        return bytes(parts)

    async def _more(self) -> None:
        if self._is_over:
            raise CutError
        self.end.resume_reading()
        await self._something()

    async def head(self) -> tuple[str, dict[str, str]]:
        """(first line, fields by lower-case name). A field that stands twice is an error. Raises CutError."""
        first, *lines = (await self.until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or not name or name.lower() in fields or name != name.strip():
                raise NotHttpError(f"the field {line!r}")
            fields[name.lower()] = value.strip()
        if "content-length" in fields and "transfer-encoding" in fields:
            raise NotHttpError("both lengths")
        return first, fields

    async def body(self, fields: dict[str, str], *, ends_by_eof: bool) -> bytes:
        """The whole body. `ends_by_eof`: whether a message without a length goes on until the end."""
        if "transfer-encoding" in fields:
            return await self._chunks()
        if "content-length" in fields:
            return await self.exactly(int(fields["content-length"]))
        return await self._until_eof() if ends_by_eof else b""

    async def _until_eof(self) -> bytes:
        parts = bytearray()
        while data := await self.read():
            parts += data
        if self._error is not None:
            raise CutError
        return bytes(parts)

    async def _chunks(self) -> bytes:
        parts = bytearray()
        while True:
            line = await self.until(b"\r\n")
            if not _HEX.fullmatch(line):
                raise NotHttpError(f"the chunk size {line!r}")
            size = int(line, 16)
            if await self._ended_chunk(parts, size) and size == 0:
                return bytes(parts)

    async def _ended_chunk(self, parts: bytearray, size: int) -> bool:
        parts += await self.exactly(size)
        if await self.exactly(2) != b"\r\n":
            raise NotHttpError("a chunk without its end, or a trailer")
        return True
