"""A client's connection under TLS: between its TCP transport and its protocol, which it serves as the transport.

Rule: nothing waits here. What arrives is decrypted and delivered at once, what is written goes to the TCP transport at
once; pausing either side is the business of that transport. `handshake` makes these.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable
from operator import attrgetter, methodcaller
from typing import Any

log = logging.getLogger("gateway.tls")

RECORD = 16_384
"""The most plaintext of one record (RFC 8446 5.1). OpenSSL's buffers stay as large as they once were, so they are given
one record at a time to send, and no more than two to read."""
MAX_UNASKED = 16_384
"""Bytes that OpenSSL has to say by itself (it was asked for a key update) to a peer that does not read."""

_OF_TLS: dict[str, Callable[[ssl.SSLObject], Any]] = {
    "ssl_object": lambda tls: tls,
    "sslcontext": attrgetter("context"),
    "cipher": methodcaller("cipher"),
    "peercert": methodcaller("getpeercert"),
}


class SecureTransport(asyncio.Transport, asyncio.Protocol):
    """One connection whose handshake is done: the protocol of `tcp`, the transport of `protocol`.

    `close` sends TLS's farewell and the end of the stream, then reads and drops what still comes: who is sending must
    not be reset before it has read its answer. The peer ends that, or `abort` does, when the protocol will not wait
    longer. A peer that ends without a farewell was cut off: `connection_lost` gets an error, `eof_received` no call.
    """

    __slots__ = ("_closing", "_error", "_incoming", "_outgoing", "_peer_left", "_protocol", "_tcp", "_tls", "_unread")

    def __init__(
        self,
        tcp: asyncio.Transport,
        tls: ssl.SSLObject,
        buffers: tuple[ssl.MemoryBIO, ssl.MemoryBIO],
        protocol: asyncio.Protocol,
    ) -> None:
        """`buffers`: what `tls` reads from, and what it writes to."""
        self._tcp = tcp
        self._tls = tls
        self._incoming, self._outgoing = buffers
        self._protocol = protocol
        self._closing = False
        self._peer_left = False
        self._unread = False
        self._error: Exception | None = None

    def start(self) -> None:
        """Begin, with what came right behind the handshake."""
        self._protocol.connection_made(self)
        if self._incoming.pending:
            self.data_received(b"")
        self._send_unasked()

    # --- the transport of its protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing or not data:
            return
        try:
            if len(data) <= RECORD:
                self._tls.write(data)
                self._tcp.write(self._outgoing.read())
            else:
                self._write_records(memoryview(data))
        except ssl.SSLError as error:
            # The peer began a message of the handshake and does not finish it: until then OpenSSL would send nothing.
            self._break(error)

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        self._tcp.write(self._outgoing.read())
        if self._peer_left:
            self._tcp.close()
        else:
            self._tcp.write_eof()
            if not self._tcp.is_reading():
                self._tcp.resume_reading()

    def abort(self) -> None:
        self._closing = True
        self._tcp.abort()

    def is_closing(self) -> bool:
        return self._closing

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        of_tls = _OF_TLS.get(name)
        return of_tls(self._tls) if of_tls else self._tcp.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self._tcp.pause_reading()

    def resume_reading(self) -> None:
        self._tcp.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._tcp.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._tcp.get_write_buffer_size()

    # --- the protocol of its TCP transport

    def data_received(self, data: bytes) -> None:
        if len(data) > 2 * RECORD:
            self._receive_much(memoryview(data))
            return
        if self._closing:
            return
        self._incoming.write(data)
        try:
            plain = self._tls.read(RECORD)
        except ssl.SSLError as error:
            self._stop_reading(error)
            return
        if not plain or self._incoming.pending or self._outgoing.pending:
            self._receive_rest(plain)
        else:
            self._protocol.data_received(plain)

    def eof_received(self) -> None:
        if not self._closing:
            self._closing = True
            self._error = ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "the connection ended without a farewell")

    def pause_writing(self) -> None:
        self._unread = True
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._unread = False
        self._send_unasked()
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._protocol.connection_lost(self._error or exc)

    # --- what is not the rule

    def _write_records(self, view: memoryview) -> None:
        records = []
        for start in range(0, len(view), RECORD):
            self._tls.write(view[start : start + RECORD])
            records.append(self._outgoing.read())
        self._tcp.writelines(records)

    def _receive_much(self, view: memoryview) -> None:
        for start in range(0, len(view), 2 * RECORD):
            self.data_received(view[start : start + 2 * RECORD])  # type: ignore[arg-type]

    def _receive_rest(self, plain: bytes) -> None:
        """Deliver a record and those behind it; an empty one is the peer's farewell."""
        records, stopped = [plain], None
        try:
            while records[-1] and self._incoming.pending:
                records.append(self._tls.read(RECORD))
        except ssl.SSLError as error:
            stopped = error
        self._peer_left = not records[-1]
        if data := b"".join(records):
            self._protocol.data_received(data)
        if self._closing:
            return
        if self._peer_left:
            self._protocol.eof_received()
            # Whatever the protocol would still send: RFC 5246 7.2.1 demands the answer and the end at once.
            self.close()
        else:
            self._stop_reading(stopped)

    def _stop_reading(self, error: ssl.SSLError | None) -> None:
        """Nothing more can be read now; unless it is only that more must arrive, nor later."""
        if error is None or isinstance(error, ssl.SSLWantReadError):
            self._send_unasked()
        else:
            self._break(error)

    def _send_unasked(self) -> None:
        """Send what OpenSSL has to say by itself: session tickets, key updates, refusals to renegotiate."""
        if self._closing:
            return
        if not self._unread:
            self._tcp.write(self._outgoing.read())
        elif self._outgoing.pending > MAX_UNASKED:
            self._break(ssl.SSLError("the peer asks on without reading"))

    def _break(self, error: ssl.SSLError) -> None:
        """End the connection, with an alert that tells the peer why, if it reads."""
        log.debug("a TLS connection with %s broke: %s", self._tcp.get_extra_info("peername"), error)
        self._closing = True
        self._error = error
        if self._unread:
            self._tcp.abort()
        else:
            self._tcp.write(self._outgoing.read())
            self._tcp.close()
