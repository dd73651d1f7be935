"""The gateway's modules in a world: its clock, its chance, its eventfds; and no order that memory decides."""

from __future__ import annotations

import gc
import logging
import os
import random
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from virtual_time import Clock, Events, OrderedSet

from gateway.proxy import client, desk, scoreboard, sweep, worker

ROWS = 32


class FakeOs:
    """The module `os` without the kernel's eventfds: a poke is an event of the world."""

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.poked: Any = lambda _: None

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def eventfd(self, initial: int, _: int) -> int:
        self.counts.append(initial)
        return len(self.counts) - 1

    def eventfd_write(self, descriptor: int, value: int) -> None:
        self.counts[descriptor] += value
        self.poked(descriptor)

    def eventfd_read(self, descriptor: int) -> int:
        value, self.counts[descriptor] = self.counts[descriptor], 0
        if not value:
            raise BlockingIOError
        return value


class _Locks:
    """Locks among processes: here they never run at once."""

    def acquire(self, _: int) -> bool:
        return True

    def release(self, _: int) -> None:
        pass


class _Secrets:
    """The module `secrets` without surprises."""

    def __init__(self) -> None:
        self._count = 0

    def token_hex(self, size: int) -> str:
        self._count += 1
        return f"{self._count:0{2 * size}x}"


@contextmanager
def transplanted(seed: int, events: Events, fake_os: FakeOs, fail: Callable[[str], None]) -> Iterator[None]:
    """Everything inside runs in the world's time. An error in the worker's log is told to `fail`."""
    stand_ins: dict[str, tuple[Any, Any]] = {
        "time": (time, Clock(events)),
        "random": (random, random.Random(f"{seed}/gateway")),
        "secrets": (secrets, _Secrets()),
    }
    modules = [module for name, module in sys.modules.items() if name.startswith("gateway.proxy")]
    with ExitStack() as stack:
        for name, (original, stand_in) in stand_ins.items():
            for module in modules:
                if getattr(module, name, None) is original:
                    stack.enter_context(patch.object(module, name, stand_in))
        for module in (client, desk, sweep):
            stack.enter_context(patch.object(module, "set", OrderedSet, create=True))
        for module in (scoreboard, worker):
            stack.enter_context(patch.object(module, "os", fake_os))
        stack.enter_context(patch.object(scoreboard, "ByteLocks", _Locks))
        # A dead worker's rows are looked through one by one.
        stack.enter_context(patch.object(scoreboard, "MAX_ROWS", ROWS))
        stack.enter_context(patch.object(worker, "_access_log", lambda _, loop: loop.log))
        stack.enter_context(_complaints(fail))
        stack.enter_context(_no_collector())
        yield


@contextmanager
def _no_collector() -> Iterator[None]:
    """What is freed, and when, must not depend on what ran before."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def _complaints(fail: Callable[[str], None]) -> Iterator[None]:
    """An error in the worker's log is a broken promise: the handler catches what nobody foresaw."""

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            error = record.exc_info[1] if record.exc_info else None
            fail(f"logged: {record.getMessage()} {error!r}")

    log, handler = logging.getLogger("gateway.worker"), Listening(logging.ERROR)
    was_propagating, log.propagate = log.propagate, False
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = was_propagating
