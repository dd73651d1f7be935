"""How a client's connection ends: in order, so that the client sees its answer, or so that a cut answer shows."""

from __future__ import annotations

import asyncio
import socket
import struct

from gateway.proxy import pace

LINGER_SECONDS = 2.0
"""After an early answer: how long what the client still sends is read and thrown away, so that it sees the answer."""

_RESET, _ORDERLY = struct.pack("ii", 1, 0), struct.pack("ii", 0, 0)
"""Values of SO_LINGER: what the kernel does when the connection is closed, by us or because this process died."""


class Farewell:
    """The end of one connection. `by_eof`: the end of an answer is told by it."""

    __slots__ = ("_taken", "_transport", "by_eof")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._taken = 0
        self.by_eof = False

    def tell_by_eof(self, *, secure: bool) -> None:
        """The answer that begins has no length: until it is whole, the connection can only end with a reset."""
        self.by_eof = True
        self._on_close(_RESET)
        if not secure:
            # Whole means: in the hands of the kernel, which outlives this process; until then writing is paused.
            # Under TLS a cut shows by itself: its farewell is missing.
            self._transport.set_write_buffer_limits(0)

    def answered(self) -> None:
        """The answer is written whole: the connection may end as connections do."""
        if self.by_eof:
            self._on_close(_ORDERLY)

    def reads_on(self, seconds: float) -> bool:
        """Whether the client took a fair part of its answer in the last `seconds`, and has more to take."""
        connection = self._socket
        before, self._taken = self._taken, pace.acknowledged(connection)
        return self._taken - before >= pace.MIN_RATE * seconds and bool(pace.unsent(connection))

    def shut(self) -> None:
        """Say that nothing more is sent. A request that is crossing sees the end, and no reset: it may be repeated."""
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def abort(self, *, is_cut: bool, is_late: bool, is_unread: bool) -> None:
        """End at once: in the middle of an answer, past its time to read, or with a client that does not read."""
        # Of an answer without a length, what is dropped here would not be missed.
        is_cut = self.by_eof and (is_cut or bool(self._transport.get_write_buffer_size()))
        if is_cut or is_unread or (is_late and pace.unsent(self._socket)):
            # For who does not read, the kernel would go on holding what it has.
            self._on_close(_RESET)
        self._transport.abort()

    @property
    def _socket(self) -> socket.socket | None:
        connection: socket.socket | None = self._transport.get_extra_info("socket")
        return connection

    def _on_close(self, manner: bytes) -> None:
        if self._socket is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, manner)
