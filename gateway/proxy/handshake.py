"""A TLS handshake with a client, from the first byte to the `SecureTransport` that goes on with the connection.

Rule: a handshake takes a place among the listener's connections, has one deadline, and costs no task. A client that
fails is told why by the alert that TLS has for it, and fills no log: hostile input is no error of ours.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import sys
import time
from typing import TYPE_CHECKING

from gateway.proxy.client import FIRST_REQUEST_SECONDS
from gateway.proxy.farewell import LINGER_SECONDS
from gateway.proxy.message import plain_address
from gateway.proxy.secure import SecureTransport

if TYPE_CHECKING:
    from gateway.proxy.listener import Listener

log = logging.getLogger("gateway.tls")


class Handshake(asyncio.Protocol):
    """The first protocol of a TCP connection; the second one is made by `listener`."""

    __slots__ = ("_context", "_incoming", "_listener", "_outgoing", "_over", "_peer", "_tcp", "_tls", "due", "turn")

    def __init__(self, listener: Listener, context: ssl.SSLContext) -> None:
        self._listener = listener
        self._context = context
        self._incoming: ssl.MemoryBIO
        self._outgoing: ssl.MemoryBIO
        self._tls: ssl.SSLObject
        self._tcp: asyncio.Transport
        self._peer = ""
        self._over = False
        self.due = 0.0
        self.turn = 0

    # --- what the listener does with it

    def expire(self, _: float) -> None:
        """It took too long, or what is left of a failed one did."""
        if not self._over:
            log.debug("the TLS handshake with %s was not finished in time", self._peer)
        self.break_off()

    def close_if_idle(self) -> None:
        """The gateway ends: a handshake that has begun may still end, if it does so soon."""
        due = time.monotonic() + FIRST_REQUEST_SECONDS
        if due < self.due:
            self._listener.sweep.watch(self, due)

    def break_off(self) -> None:
        """End the connection."""
        self._over = True
        self._tcp.abort()

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._tcp = transport  # type: ignore[assignment]
        listener = self._listener
        peer = transport.get_extra_info("peername")
        self._peer = plain_address(peer[0]) if peer else ""
        if not peer or not listener.joined(self, self._peer):
            self.break_off()
            return
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = self._context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._watch(FIRST_REQUEST_SECONDS if listener.ending else listener.limits.handshake_timeout_seconds)

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        self._incoming.write(data)
        try:
            self._shake()
        except ssl.SSLWantReadError:
            self._tcp.write(self._outgoing.read())
        except ssl.SSLError as error:
            self._fail(error)
        else:
            self._hand_over()

    def connection_lost(self, _: Exception | None) -> None:
        if not self._over:
            log.debug("%s left within the TLS handshake", self._peer)
        self._listener.sweep.forget(self)
        self._listener.left(self, self._peer)

    # --- the course of a handshake

    def _shake(self) -> None:
        # Python prints what goes wrong when OpenSSL calls back: a traceback for each server name that is not ASCII.
        before, sys.unraisablehook = sys.unraisablehook, _note_unraisable
        try:
            self._tls.do_handshake()
        finally:
            sys.unraisablehook = before

    def _hand_over(self) -> None:
        listener, buffers = self._listener, (self._incoming, self._outgoing)
        listener.sweep.forget(self)
        listener.make_room(self, self._peer)
        secure = SecureTransport(self._tcp, self._tls, buffers, listener())
        self._tcp.set_protocol(secure)
        secure.start()

    def _fail(self, error: ssl.SSLError) -> None:
        """Send the alert, if TLS has one for this, and give the client time to read it."""
        log.debug("the TLS handshake with %s failed: %s", self._peer, error)
        self._over = True
        alert = self._outgoing.read()
        if not alert:
            self._tcp.abort()
            return
        self._tcp.write(alert)
        self._tcp.write_eof()
        self._watch(LINGER_SECONDS)

    def _watch(self, seconds: float) -> None:
        self._listener.sweep.watch(self, time.monotonic() + seconds)


def _note_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    error = unraisable.exc_value
    if isinstance(error, UnicodeDecodeError):
        log.debug("a TLS client asked for a server name that is not ASCII")
    else:
        log.error("the certificate for a TLS handshake could not be chosen", exc_info=error)
