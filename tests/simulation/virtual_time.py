"""Time that passes only when nothing is left to do: a queue of events, and an event loop for each process of a world.

Everything is exact and repeatable: events run in order of their time, then in the order in which they were asked for.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Coroutine, Iterator, MutableSet
from typing import Any

BOOT = 1_000.0
"""Monotonic seconds at which a world begins; 0.0 means "never" in many places."""
EPOCH = 1_790_000_000.0
MAX_EVENTS = 400_000


class StuckError(Exception):
    """The world does not come to rest."""


class Timer:
    """One event to come."""

    __slots__ = ("arguments", "callback", "is_cancelled", "process", "when")

    def __init__(
        self, when: float, process: Process, callback: Callable[..., object], arguments: tuple[Any, ...]
    ) -> None:
        self.when = when
        self.process = process
        self.callback = callback
        self.arguments = arguments
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Events:
    """The clock of a world, and all that is going to happen. `on_quiet` is told, before time moves on, to when."""

    def __init__(self) -> None:
        self.now = BOOT
        self.count = 0
        self.on_quiet: Callable[[float], None] = lambda _: None
        self.after_each: Callable[[], None] | None = None
        self._queue: list[tuple[float, int, Timer]] = []
        self._order = 0

    def at(self, when: float, process: Process, callback: Callable[..., object], arguments: tuple[Any, ...]) -> Timer:
        self._order += 1
        timer = Timer(max(when, self.now), process, callback, arguments)
        heapq.heappush(self._queue, (timer.when, self._order, timer))
        return timer

    def run(self) -> None:
        """Until nothing is left to happen."""
        queue = self._queue
        while queue:
            when, _, timer = heapq.heappop(queue)
            if timer.is_cancelled or not timer.process.is_alive:
                continue
            if when > self.now:
                self.on_quiet(when)
                self.now = when
            self.count += 1
            if self.count > MAX_EVENTS:
                raise StuckError(f"more than {MAX_EVENTS} events; the next one is {timer.callback}")
            timer.callback(*timer.arguments)
            if self.after_each is not None:
                self.after_each()


class Clock:
    """What the gateway's modules see as the module `time`."""

    def __init__(self, events: Events) -> None:
        self._events = events

    def monotonic(self) -> float:
        return self._events.now

    def time(self) -> float:
        return EPOCH + self._events.now


class Process:
    """A process of the world, as an event loop. Once it is killed, none of its code runs any more."""

    def __init__(self, events: Events, name: str, on_error: Callable[[str], None]) -> None:
        self.events = events
        self.name = name
        self.is_alive = True
        self._on_error = on_error
        self._tasks: dict[asyncio.Task[Any], None] = {}

    def __repr__(self) -> str:
        return self.name

    def kill(self) -> None:
        self.is_alive = False
        for task in self._tasks:
            # Never resumed, and not to be told at its end that it was waiting.
            task._log_destroy_pending = False
            task.get_coro().close()

    # --- asyncio.AbstractEventLoop, as far as it is used

    def time(self) -> float:
        return self.events.now

    def call_soon(self, callback: Callable[..., object], *arguments: Any, **_: Any) -> Timer:
        return self.events.at(self.events.now, self, callback, arguments)

    def call_later(self, delay: float, callback: Callable[..., object], *arguments: Any, **_: Any) -> Timer:
        return self.events.at(self.events.now + delay, self, callback, arguments)

    def call_at(self, when: float, callback: Callable[..., object], *arguments: Any, **_: Any) -> Timer:
        return self.events.at(when, self, callback, arguments)

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)  # type: ignore[arg-type]

    def create_task(self, coroutine: Coroutine[Any, Any, Any], **_: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=self)  # type: ignore[arg-type]
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)
        return task

    def get_debug(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self.is_alive:
            self._on_error(f"{self.name}: {context.get('message')}: {context.get('exception')!r}")

    # --- what actors need

    def sleep(self, seconds: float) -> Awaitable[None]:
        future = self.create_future()
        self.call_later(seconds, lambda: future.done() or future.set_result(None))
        return future

    def act(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task whose failure is nobody's to expect."""
        task = self.create_task(coroutine)
        task.add_done_callback(self._report)
        return task

    def _report(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._on_error(f"{self.name}: {task.exception()!r}")


class OrderedSet(MutableSet[Any]):
    """Stands for `set` where the gateway puts objects into one: a set's own order is that of memory addresses."""

    def __init__(self, items: Iterator[Any] | tuple[Any, ...] = ()) -> None:
        self._items = dict.fromkeys(items)

    def __contains__(self, item: object) -> bool:
        return item in self._items

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def add(self, value: Any) -> None:
        self._items[value] = None

    def discard(self, value: Any) -> None:
        self._items.pop(value, None)
