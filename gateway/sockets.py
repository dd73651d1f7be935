"""Listening sockets, opened by the supervisor before it forks: they outlive every process that serves them."""

from __future__ import annotations

import errno
import os
import socket

BACKLOG = 4096
MAX_UNSENT = 131_072
"""What the kernel takes of an answer beyond what is on its way: more would hide for minutes who reads nothing."""


class ListenError(Exception):
    """An address cannot be listened on. The text says which key of the configuration, and why."""


def listen(key: str, address: str, count: int = 1) -> list[socket.socket]:
    """`count` sockets on one address, among which the kernel spreads connections (SO_REUSEPORT). Raises ListenError.

    `address`: host:port or [host]:port; port 0 takes a free one, the same for all.
    """
    host, port = split(address)
    try:
        family, _, _, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except socket.gaierror as error:
        raise ListenError(f"{key}: {host!r} is no address of this machine ({error.strerror})") from None
    sockets: list[socket.socket] = []
    try:
        # Another gateway of the same user on this port would share it silently: a plain bind finds it.
        with _bound(family, target, shared=False) as probe:
            target = probe.getsockname()
        sockets.extend(_bound(family, target, shared=count > 1) for _ in range(count))
        for listening in sockets:
            listening.listen(BACKLOG)
    except OSError as error:
        for listening in sockets:
            listening.close()
        raise ListenError(_why(key, address, port, error)) from None
    return sockets


def split(address: str) -> tuple[str, int]:
    """Host (without brackets) and port."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def unix_listener(path: str) -> socket.socket:
    """A listening Unix socket that only this user may connect to."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(path)
    os.chmod(path, 0o600)  # noqa: PTH101 - the path of a socket, not a file
    listening.listen(BACKLOG)
    return listening


def _bound(family: int, target: object, *, shared: bool) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            # Connections inherit it.
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_UNSENT)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.setblocking(False)
        bound.bind(target)  # type: ignore[arg-type]
    except OSError:
        bound.close()
        raise
    return bound


def _why(key: str, address: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"{key}: port {port} of {address} is taken by another process: end it (see `ss -ltnp`), or choose another"
            " port here"
        )
    if error.errno == errno.EACCES:
        return f"{key}: port {port} of {address} needs root; choose one above 1023 here"
    return f"{key}: {address} cannot be listened on ({error.strerror})"
