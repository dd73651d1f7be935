"""Connections in memory that behave as TCP under asyncio does: pieces, delays, back-pressure, half-closing, resets.

An `End` is the transport of one side. What it was given waits in `_unsent` while the kernel's window is full, is on its
way for a while, then waits in the other end's `_unread` while that one does not read.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Any

from virtual_time import Process

HIGH = 65_536
NEVER_READABLE = os.eventfd(0)
EOF, RESET = "eof", "reset"


class FakeSocket:
    """The options that matter: SO_LINGER, by which a close becomes a reset, and what Linux tells of a connection."""

    family = socket.AF_INET

    def __init__(self, end: End) -> None:
        self.resets = False
        self._end = end

    def fileno(self) -> int:
        """A descriptor on which nothing ever happens: here the loop always knows as much as the kernel."""
        return NEVER_READABLE

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        """Linux's `struct tcp_info`: bytes acknowledged, and bytes that the kernel still holds."""
        assert (level, option) == (socket.IPPROTO_TCP, socket.TCP_INFO)
        end, info = self._end, bytearray(size)
        # Half of the window stands for what is on its way, or with the peer.
        held = max(0, end._travelling - end._wire.window // 2)
        struct.pack_into("Q", info, 120, end.sent - len(end._unsent) - end._travelling)
        struct.pack_into("I", info, 144, held)
        return bytes(info)

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        if (level, option) == (socket.SOL_SOCKET, socket.SO_LINGER):
            self.resets = struct.unpack("ii", value)[0] == 1


class Wire:
    """What two ends have in common: how long bytes travel, how they are cut, how many fit in."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._slowness = rng.choice((0.0001, 0.001, 0.005, 0.02))
        self.window = rng.choice((2_048, 16_384, 65_536, 262_144))
        self._largest = rng.choice((1_460, 16_384, 65_536))

    def delay(self) -> float:
        return self._rng.uniform(0.2, 1.0) * self._slowness

    def cut(self, room: int) -> int:
        largest = min(room, self._largest)
        return self._rng.randint(1, min(largest, 40)) if self._rng.random() < 0.1 else largest

    def loses_unread(self) -> bool:
        return self._rng.random() < 0.5


class End(asyncio.Transport):
    """One side of a connection: the transport of a protocol. `is_secure`: as under TLS, no closing by halves."""

    def __init__(self, process: Process, kernel: Process, wire: Wire, peername: tuple[str, int]) -> None:
        super().__init__()
        self.process = process
        self._kernel = kernel
        self.peer: End
        self.protocol: Any = None
        self.socket = FakeSocket(self)
        self.peername = peername
        self.is_secure = False
        self.sent = 0
        self.received = 0
        self.is_lost = False
        self.most_unsent = 0
        self._wire = wire
        self._unsent = bytearray()
        self._travelling = 0
        self._arrives_at = 0.0
        self._unread: deque[bytes | str] = deque()
        self._is_closing = False
        self._is_half_closed = False
        self._has_sent_eof = False
        self._reads = True
        self._is_full = False
        self._is_gone = False
        self.set_write_buffer_limits()
        self._crossings: list[tuple[int, int, Callable[[], None]]] = []

    @property
    def is_open(self) -> bool:
        """Whether the program on this side still uses the connection."""
        return not self._is_closing and self.process.is_alive

    # --- asyncio.Transport

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": self.peername, "socket": self.socket}.get(name, default)

    def is_closing(self) -> bool:
        return self._is_closing

    def get_protocol(self) -> Any:
        return self.protocol

    def can_write_eof(self) -> bool:
        return not self.is_secure

    def get_write_buffer_size(self) -> int:
        return len(self._unsent)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = high if high is not None else 4 * low if low is not None else HIGH
        self._low = low if low is not None else self._high // 4
        self._pause_if_full()

    def _pause_if_full(self) -> None:
        if len(self._unsent) > self._high and not self._is_full:
            self._is_full = True
            self.protocol.pause_writing()

    def pause_reading(self) -> None:
        self._reads = False

    def resume_reading(self) -> None:
        if not self._reads and not self._is_closing:
            self._reads = True
            self.process.call_soon(self._read)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._is_half_closed:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._is_closing or self.is_lost or not data:
            return
        if RESET in self._unread:
            self._fail()
            return
        self.sent += len(data)
        self._unsent += data
        self._push()
        self.most_unsent = max(self.most_unsent, len(self._unsent))
        self._pause_if_full()

    def write_eof(self) -> None:
        if self.is_secure:
            raise NotImplementedError
        if not self._is_closing:
            self._is_half_closed = True
            self._push()

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            if not self._unsent:
                self._lose(None)

    def abort(self) -> None:
        self._force(None)

    # --- the way out

    def _push(self) -> None:
        while self._unsent and not self._is_gone:
            room = min(len(self._unsent), self._wire.window - self._travelling)
            if room < min(len(self._unsent), self._wire.window // 4):
                break  # as TCP does: no silly little pieces just because there is little room
            size = self._wire.cut(room)
            piece = bytes(self._unsent[:size])
            del self._unsent[:size]
            self._travelling += size
            self._deliver(piece)
        if not self._unsent and self._is_half_closed:
            self._finish()

    def _deliver(self, what: bytes | str) -> None:
        events = self.process.events
        self._arrives_at = max(self._arrives_at, events.now + self._wire.delay())
        peer = self.peer
        events.at(self._arrives_at, self._kernel, peer._arrive, (what,))

    def _finish(self) -> None:
        if not self._has_sent_eof and not self._is_gone:
            self._has_sent_eof = True
            self._deliver(EOF)

    def _taken(self, size: int) -> None:
        """The other side has read this much: there is room again."""
        self._travelling -= size
        if self.is_lost:
            return
        self._push()
        if self._is_full and len(self._unsent) <= self._low and not self._is_closing:
            self._is_full = False
            self.protocol.resume_writing()
        if self._is_closing and not self._unsent:
            self._lose(None)

    # --- the way in

    def _arrive(self, what: bytes | str) -> None:
        if self._is_gone:
            if what not in (EOF, RESET):
                self._deliver_reset()
            return
        if what == RESET:
            if self._wire.loses_unread():
                self._unread.clear()
            if self._unsent or self._is_closing:
                self._fail()
                return
        self._unread.append(what)
        self._read()

    def _read(self) -> None:
        while self._unread and self._reads and not self._is_closing and not self.is_lost:
            what = self._unread.popleft()
            if what == RESET:
                self._fail()
            elif what == EOF:
                if not self.protocol.eof_received() or self.is_secure:
                    self.close()
            else:
                assert isinstance(what, bytes)
                self._look_for_crossing(len(what))
                events = self.process.events
                events.at(events.now + self._wire.delay(), self._kernel, self.peer._taken, (len(what),))
                self.protocol.data_received(what)

    def watch_crossing(self, mark: int, sent: int, crossed: Callable[[], None]) -> None:
        """Call `crossed` if this side has sent more than `sent` when the first byte beyond `mark` is read here."""
        self._crossings.append((mark, sent, crossed))

    def _look_for_crossing(self, size: int) -> None:
        self.received += size
        for crossing in self._crossings[:]:
            mark, sent, crossed = crossing
            if self.received > mark:
                self._crossings.remove(crossing)
                if self.sent > sent:
                    crossed()

    # --- the end

    def vanish(self) -> None:
        """The process has died: the kernel closes for it, and under TLS its farewell is missing."""
        self.socket.resets |= self.is_secure
        if not self.is_lost:
            self._hang_up()
        self._is_closing = self.is_lost = True
        self._unsent.clear()

    def _fail(self) -> None:
        self._force(ConnectionResetError(104, "Connection reset by peer"))

    def _force(self, error: Exception | None) -> None:
        if not self.is_lost:
            self._is_closing = True
            self._unsent.clear()
            self._lose(error)

    def _lose(self, error: Exception | None) -> None:
        self.is_lost = True
        self.process.call_soon(self._lost, error)

    def _lost(self, error: Exception | None) -> None:
        self.protocol.connection_lost(error)
        self._hang_up()

    def _hang_up(self) -> None:
        has_unread = any(isinstance(what, bytes) for what in self._unread)
        if self.socket.resets or has_unread:
            self._deliver_reset()
        else:
            self._finish()
        self._is_gone = True
        self._unread.clear()

    def _deliver_reset(self) -> None:
        if not self.peer._is_gone:
            self._deliver(RESET)
