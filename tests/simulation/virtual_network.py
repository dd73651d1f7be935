"""Who listens where in a world, and how connections come about: at once, refused, or never."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from virtual_connection import End, Wire
from virtual_time import Process

Attach = Callable[[End], asyncio.BaseProtocol]


class Network:
    """Who listens where, and all connections there are."""

    def __init__(self, seed: int, kernel: Process) -> None:
        self._seed = seed
        self._kernel = kernel
        self._listening: dict[tuple[str, int], Callable[[End], asyncio.BaseProtocol | None]] = {}
        self.ends: list[End] = []

    def listen(self, address: tuple[str, int], accept: Callable[[End], asyncio.BaseProtocol | None]) -> None:
        """`accept` attaches a protocol to the end it is given, or returns None: the attempt is never answered.

        Raises ConnectionRefusedError where nobody listens.
        """
        self._listening[address] = accept

    async def connect(
        self, process: Process, address: tuple[str, int], attach: Attach, own: tuple[str, int] = ("10.9.9.9", 9)
    ) -> tuple[End, Any]:
        """What `loop.create_connection` does, for this process."""
        wire = Wire(random.Random(f"{self._seed}/wire/{len(self.ends)}"))
        here, there = (End(process, self._kernel, wire, name) for name in (address, own))
        here.peer, there.peer = there, here
        self.ends += [here, there]
        waiter = process.create_future()
        process.call_later(wire.delay(), self._answer, address, here, attach, waiter)
        try:
            await waiter
        except BaseException:
            if here.protocol is not None:
                here.abort()
            raise
        return here, here.protocol

    def _answer(self, address: tuple[str, int], here: End, attach: Attach, waiter: asyncio.Future[None]) -> None:
        accept = self._listening.get(address)
        try:
            if accept is None:
                raise ConnectionRefusedError(111, "Connection refused")
            protocol = None if waiter.done() else accept(here.peer)
        except OSError as error:
            if not waiter.done():
                waiter.set_exception(error)
            return
        if protocol is None:
            return
        attached = attach(here)
        here.protocol, here.peer.protocol = attached, protocol
        protocol.connection_made(here.peer)
        attached.connection_made(here)
        here.process.call_soon(lambda: waiter.done() or waiter.set_result(None))
