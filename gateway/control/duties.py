"""Work that goes on beside, from when it is begun until the stack that it was begun on unwinds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack


def every(stack: AsyncExitStack, seconds: float, call: Callable[[], None]) -> None:
    """Call it now and every so many seconds."""

    async def again() -> None:
        while True:
            call()
            await asyncio.sleep(seconds)

    background(stack, again())


def background(stack: AsyncExitStack, work: Coroutine[None, None, None]) -> None:
    """Let it run."""
    stack.push_async_callback(cancelled, asyncio.get_running_loop().create_task(work))


async def cancelled(task: asyncio.Task[None]) -> None:
    """End it, and wait until it has ended, however it does."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
