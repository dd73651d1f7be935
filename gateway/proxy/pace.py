"""How slow a client may be, and how fast it reads, which only the kernel knows: what is written is not yet taken."""

from __future__ import annotations

import socket
import struct

MIN_RATE = 500
"""Bytes a second in every span of `body_timeout_seconds`: who moves a byte now and then is never done."""

_BYTES_ACKED, _BYTES_UNSENT = 120, 144
"""Offsets in Linux's `struct tcp_info`."""
_TCP_INFO = getattr(socket, "TCP_INFO", None)


def taken(connection: socket.socket | None) -> int:
    """Bytes that the peer has acknowledged so far; 0 if nothing more waits to be sent, or the kernel does not tell."""
    if connection is None or _TCP_INFO is None or connection.family == socket.AF_UNIX:
        return 0
    info = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 256)
    if len(info) < _BYTES_UNSENT + 4 or not struct.unpack_from("I", info, _BYTES_UNSENT)[0]:
        return 0
    acknowledged: int = struct.unpack_from("Q", info, _BYTES_ACKED)[0]
    return acknowledged
