"""A request's coroutine: stepped by whoever has news, never by two at once, never after its end."""

from __future__ import annotations

import pytest

from gateway.proxy.journey import PAUSE, ClientGoneError, DeadlineError, Journey


def test_runs_on_the_stack_of_the_event() -> None:
    """A coroutine runs until it waits, goes on with each wake, and ends once."""
    said, news = [], []

    async def travel() -> None:
        while len(news) < 2:
            said.append(len(news))
            await PAUSE
        said.append("over")

    journey = Journey()
    journey.start(travel())
    assert said == [0]
    news.append(1)
    journey.wake()
    assert said == [0, 1]
    news.append(2)
    journey.wake()
    assert said == [0, 1, "over"]
    assert journey.over
    journey.wake()
    journey.throw(DeadlineError())
    assert said == [0, 1, "over"]


def test_wake_while_running_does_nothing() -> None:
    """A coroutine that causes its own wake-up is not entered a second time."""
    journey = Journey()
    steps = []

    async def travel() -> None:
        steps.append("in")
        journey.wake()
        journey.throw(ClientGoneError())
        steps.append("out")

    journey.start(travel())
    assert steps == ["in", "out"]
    assert journey.over


def test_control_entering_twice_is_an_error() -> None:
    """Control: without that guard Python itself would refuse the second entry, in the middle of a request."""

    class Unguarded(Journey):
        def wake(self) -> None:
            self._resume(None)

    journey = Unguarded()

    async def travel() -> None:
        journey.wake()

    with pytest.raises(ValueError, match="already executing"):
        journey.start(travel())


@pytest.mark.parametrize("error", [DeadlineError, ClientGoneError])
def test_thrown_where_it_waits(error) -> None:
    """A deadline and a client that leaves are raised where the coroutine waits; it may live on."""
    caught = []

    async def travel() -> None:
        try:
            await PAUSE
        except error as raised:
            caught.append(raised)
        await PAUSE

    journey = Journey()
    journey.start(travel())
    thrown = error()
    journey.throw(thrown)
    assert caught == [thrown]
    assert not journey.over


def test_failure_ends_the_journey() -> None:
    """An error that the coroutine lets out reaches whoever woke it, and the journey is over."""
    journey = Journey()

    async def travel() -> None:
        await PAUSE
        raise RuntimeError("lost")

    journey.start(travel())
    with pytest.raises(RuntimeError, match="lost"):
        journey.wake()
    assert journey.over
    journey.wake()
