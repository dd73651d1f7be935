"""How slow a client may be, and how fast it reads, which only the kernel knows: what is written is not yet taken."""

from __future__ import annotations

import socket
import struct

MIN_RATE = 500
"""Bytes a second in every span of `body_timeout_seconds`: who moves a byte now and then is never done."""

_BYTES_ACKED, _BYTES_UNSENT = 120, 144
"""Offsets in Linux's `struct tcp_info`."""
_TCP_INFO = getattr(socket, "TCP_INFO", None)


def unsent(connection: socket.socket | None) -> int:
    """Bytes that the kernel has still to send; 0 if it does not tell."""
    return _of_info(connection, "I", _BYTES_UNSENT)


def acknowledged(connection: socket.socket | None) -> int:
    """Bytes that the peer has acknowledged so far; 0 if the kernel does not tell."""
    return _of_info(connection, "Q", _BYTES_ACKED)


def _of_info(connection: socket.socket | None, form: str, offset: int) -> int:
    if connection is None or _TCP_INFO is None or connection.family == socket.AF_UNIX:
        return 0
    info = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 256)
    if len(info) < offset + struct.calcsize(form):
        return 0
    value: int = struct.unpack_from(form, info, offset)[0]
    return value
