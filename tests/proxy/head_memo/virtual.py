"""What stands in for the world around a data plane: one clock for both, and for each a loop, ids and chance."""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from head_memo.account import Account

BOOT = 1_000.0
EPOCH = 1_790_000_000.0


class Clock:
    """Stands for the module `time`."""

    gmtime, strftime = staticmethod(time.gmtime), staticmethod(time.strftime)

    def __init__(self) -> None:
        self.now = BOOT

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return EPOCH + self.now


class Timer:
    """A callback to come."""

    __slots__ = ("arguments", "callback")

    def __init__(self, callback: Callable[..., object] | None, arguments: tuple[Any, ...]) -> None:
        self.callback = callback
        self.arguments = arguments

    def cancel(self) -> None:
        self.callback = None

    def run(self) -> None:
        if self.callback is not None:
            self.callback(*self.arguments)


class Loop:
    """An event loop that runs what is due when it is told to. Also the ids and the chance of its data plane."""

    current: Loop

    def __init__(self, clock: Clock, seed: int, account: Account) -> None:
        self.clock = clock
        self.account = account
        self.chance = random.Random(seed)
        self.servers: dict[str, Callable[[Any], Any]] = {}
        self._ready: deque[Timer] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = 0

    def time(self) -> float:
        return self.clock.now

    def get_debug(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.account.events.append(f"{context.get('message')}: {context.get('exception')!r}")

    def call_soon(self, callback: Callable[..., object], *arguments: Any, **_: Any) -> Timer:
        timer = Timer(callback, arguments)
        self._ready.append(timer)
        return timer

    def call_later(self, delay: float, callback: Callable[..., object], *arguments: Any) -> Timer:
        timer = Timer(callback, arguments)
        self._order += 1
        heapq.heappush(self._timers, (self.clock.now + delay, self._order, timer))
        return timer

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)  # type: ignore[arg-type]

    def create_task(self, coroutine: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coroutine, loop=self)  # type: ignore[arg-type]

    async def create_connection(self, factory: Callable[[], Any], host: str, _: int, **__: Any) -> tuple[Any, Any]:
        protocol = factory()
        wire = self.servers[host](protocol)
        protocol.connection_made(wire)
        return wire, protocol

    def settle(self) -> None:
        """Run what is due now, and what comes of it."""
        ready = self._ready
        while ready:
            ready.popleft().run()

    def next_due(self) -> float:
        return self._timers[0][0] if self._timers else float("inf")

    def run_first(self) -> None:
        """Run the timer that is due first."""
        Loop.current = self
        heapq.heappop(self._timers)[2].run()
        self.settle()


def advance(clock: Clock, loops: tuple[Loop, ...], seconds: float) -> None:
    """Let time pass for all of them."""
    until = clock.now + seconds
    while True:
        first = min(loops, key=Loop.next_due)
        due = first.next_due()
        if due > until:
            break
        clock.now = max(clock.now, due)
        first.run_first()
    clock.now = until


class _Chance:
    def __getattr__(self, name: str) -> Any:
        # Whoever takes a function with it at one time calls it at another, when another loop may run.
        def call(*arguments: Any) -> Any:
            return getattr(Loop.current.chance, name)(*arguments)

        return call


class _Complaints(logging.Handler):
    """An error in the worker's log is an event of the data plane that runs."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        Loop.current.account.complaints.append(f"{record.getMessage()} {error!r}")


class _OrderedSet(dict[Any, None]):
    """Stands for `set`, whose own order is that of memory addresses."""

    def add(self, item: Any) -> None:
        self[item] = None

    def remove(self, item: Any) -> None:
        del self[item]

    def discard(self, item: Any) -> None:
        super().pop(item, None)

    def pop(self) -> Any:  # type: ignore[override]
        item = next(iter(self))
        del self[item]
        return item


@contextmanager
def virtual(clock: Clock) -> Iterator[None]:
    """The data plane's modules in this clock's time; ids and chance are those of the loop that runs."""
    stand_ins = {"time": (time, clock), "random": (random, _Chance())}
    modules = [module for name, module in sys.modules.items() if name.startswith("gateway.proxy")]
    with ExitStack() as stack:
        for name, (original, stand_in) in stand_ins.items():
            for module in modules:
                if getattr(module, name, None) is original:
                    stack.enter_context(patch.object(module, name, stand_in))
        for module in modules:
            stack.enter_context(patch.object(module, "set", _OrderedSet, create=True))
        log = logging.getLogger("gateway.worker")
        stack.enter_context(patch.object(log, "handlers", [_Complaints(logging.ERROR)]))
        stack.enter_context(patch.object(log, "propagate", False))
        yield
