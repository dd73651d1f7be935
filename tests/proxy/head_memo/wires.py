"""Connections in memory: what the gateway does with one is noted, what its peer does is said by the duel.

Made for hundreds of thousands of requests: nothing here does more than the comparison needs.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from head_memo.virtual import Loop

NEVER_READABLE = os.eventfd(0)
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n")


class Wire(asyncio.Transport):
    """One end of a connection. `connection_lost` comes from the loop, never from within a call."""

    def __init__(self, loop: Loop, name: str, protocol: Any, peer: str, *, secure: bool) -> None:
        self.loop = loop
        self.name = name
        self.protocol = protocol
        self.peer = peer
        self.secure = secure
        self.arriving: deque[bytes] = deque()
        self.closing = self.reading_paused = self.half_closed = False
        self.stalled = self.writing_paused = False

    def write(self, data: Any) -> None:
        if not self.closing:
            self.loop.account.write(self.name, data)
            if self.stalled and not self.writing_paused:
                self.writing_paused = True
                self.protocol.pause_writing()

    def can_write_eof(self) -> bool:
        return not self.secure

    def write_eof(self) -> None:
        self.half_closed = True
        self.loop.account.events.append(f"{self.name} ends")

    def close(self) -> None:
        self._end(None)

    abort = close

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.reading_paused = True

    def resume_reading(self) -> None:
        self.reading_paused = False
        self.loop.call_soon(self.deliver)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": (self.peer, 40000), "socket": self}.get(name, default)

    def get_write_buffer_size(self) -> int:
        return int(self.writing_paused)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    # --- of the socket

    family = socket.AF_INET

    def fileno(self) -> int:
        return NEVER_READABLE

    def setsockopt(self, *_: Any) -> None:
        pass

    def getsockopt(self, _: int, __: int, size: int) -> bytes:
        return bytes(size)

    # --- what the peer does

    def arrive(self, data: bytes) -> None:
        self.arriving.append(data)
        self.deliver()

    def deliver(self) -> None:
        while self.arriving and not self.reading_paused and not self.closing:
            self.protocol.data_received(self.arriving.popleft())

    def stall(self) -> None:
        """The peer reads no more: what is written now waits."""
        self.stalled = True

    def unstall(self) -> None:
        """The peer reads on."""
        self.stalled = False
        if self.writing_paused and not self.closing:
            self.writing_paused = False
            self.protocol.resume_writing()

    def shut(self) -> None:
        """The peer sends no more."""
        if not self.closing and not self.protocol.eof_received():
            self.close()

    def reset(self) -> None:
        self._end(ConnectionResetError(104, "Connection reset by peer"))

    def _end(self, error: Exception | None) -> None:
        if not self.closing:
            self.closing = True
            self.loop.account.events.append(f"{self.name} closed")
            self.loop.call_soon(self.protocol.connection_lost, error)


class Backend(Wire):
    """The gateway's end of a connection to a container. What was asked is told to `asked` once it is here whole."""

    def __init__(self, loop: Loop, name: str, protocol: Any, asked: Callable[[Backend], None]) -> None:
        super().__init__(loop, name, protocol, "10.0.0.1", secure=False)
        self._asked = asked
        self._inbox = bytearray()

    def write(self, data: Any) -> None:
        super().write(data)
        inbox = self._inbox
        inbox += data
        at = inbox.find(b"\r\n\r\n")
        if at < 0:
            return
        length = LENGTH.search(inbox, 0, at + 2)
        if length is not None:
            is_whole = len(inbox) >= at + 4 + int(length[1])
        else:
            is_whole = b"\r\ntransfer-encoding:" not in inbox[:at] or inbox.endswith(b"\r\n0\r\n\r\n")
        if is_whole:
            inbox.clear()
            self._asked(self)
