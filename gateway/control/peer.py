"""One connection of a worker: cuts frames, checks who is at the other end, keeps the order of what is sent."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import socket
import struct
from collections.abc import Callable, Iterable
from typing import cast

from pydantic import ValidationError

from gateway.core.message import LENGTH_BYTES, TO_CONTROL, Frames, Hello, ToControl, frame

log = logging.getLogger("gateway.control")
_CREDENTIALS = struct.Struct("3i")


class Peer(asyncio.Protocol):
    """Its first message is a Hello that fits the process at the other end; a wrong frame ends the connection."""

    def __init__(self, received: Callable[[Peer, ToControl], None], disconnected: Callable[[Peer], None]) -> None:
        self.life = ""
        self._received = received
        self._disconnected = disconnected
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._greeted = False
        self._held: list[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Only processes of our own user may speak."""
        transport = cast(asyncio.Transport, transport)  # uvloop's transports are no subclass of it
        self._transport = transport
        if _user_id(transport) not in (None, os.getuid()):
            log.error("a process of another user connected to the worker link: refused")
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Handle every frame that is complete."""
        try:
            for payload in self._frames.feed(data):
                self._handle(TO_CONTROL.validate_json(payload))
        except (ValidationError, ValueError) as error:
            reason = f"{error.error_count()} faults in a message" if isinstance(error, ValidationError) else str(error)
            log.error("worker link: %s; connection closed", reason)  # noqa: TRY400 - the trace would tell nothing more
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Tell the link."""
        self._disconnected(self)

    def hold(self) -> None:
        """Keep back what is sent from now on, until `send_held`."""
        self._held = []

    def send(self, payload: bytes) -> None:
        """Send one frame, after what is held back."""
        if self._held is not None:
            self._held.append(payload)
        elif self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame(payload))

    async def send_held(self, length: int, parts: Iterable[bytes]) -> None:
        """Send one frame of `length` bytes in parts, giving the loop its turn between; then what was held back."""
        for part in itertools.chain((length.to_bytes(LENGTH_BYTES, "big"),), parts):
            if self._transport is None or self._transport.is_closing():
                return
            self._transport.write(part)
            await asyncio.sleep(0)
        held, self._held = self._held or [], None
        for payload in held:
            self.send(payload)

    def close(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def _handle(self, message: ToControl) -> None:
        if isinstance(message, Hello):
            assert self._transport is not None
            if _process_id(self._transport) not in (None, message.pid):
                raise ValueError(f"a Hello for pid {message.pid} from another process")
            self._greeted = True
        elif not self._greeted:
            raise ValueError("a message before Hello")
        self._received(self, message)


def _credentials(transport: asyncio.Transport) -> tuple[int, int, int] | None:
    """(pid, user id, group id) of the other end.

    None where the platform does not tell: there only the folder of the socket guards it.
    """
    option = getattr(socket, "SO_PEERCRED", None)
    sock = transport.get_extra_info("socket")
    if option is None or sock is None:
        return None
    pid, uid, gid = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size))
    return pid, uid, gid


def _process_id(transport: asyncio.Transport) -> int | None:
    credentials = _credentials(transport)
    return credentials and credentials[0]


def _user_id(transport: asyncio.Transport) -> int | None:
    credentials = _credentials(transport)
    return credentials and credentials[1]
