"""A request's coroutine, stepped on the stack of the event it waited for: no task, no future, no trip round the loop.

The coroutine waits by `await PAUSE` in a loop over its condition. Everything that may change the condition (bytes from
the client, bytes from the backend, a permit) calls `wake`; deadlines and a client that leaves call `throw`.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any


class _Pause:
    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        # A tuple's iterator yields once, as a generator would, and costs half as much.
        return iter(_ONCE)  # type: ignore[return-value]


_ONCE = (None,)


PAUSE = _Pause()


class DeadlineError(Exception):
    """The time of this request ran out."""


class ClientGoneError(Exception):
    """The client closed its connection, or broke it."""


class Journey:
    """One request under way."""

    __slots__ = ("_coroutine", "_running", "over")

    def __init__(self) -> None:
        self._coroutine: Coroutine[Any, Any, None] | None = None
        self._running = False
        self.over = False

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run until the first wait, or to the end."""
        self._coroutine = coroutine
        self._resume(None)

    def wake(self) -> None:
        """Something changed: let the coroutine look again. Nothing happens while it runs or after its end."""
        if not self._running and not self.over:
            self._resume(None)

    def throw(self, error: Exception) -> None:
        """Raise where the coroutine waits. Nothing happens while it runs or after its end."""
        if not self._running and not self.over:
            self._resume(error)

    def _resume(self, error: Exception | None) -> None:
        coroutine = self._coroutine
        assert coroutine is not None
        self._running = self.over = True
        try:
            if error is None:
                coroutine.send(None)
            else:
                coroutine.throw(error)
            self.over = False
        except StopIteration:
            self._coroutine = None
        finally:
            self._running = False
