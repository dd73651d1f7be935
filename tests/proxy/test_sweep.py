"""Deadlines on one wheel: none early, none much late, none after it was dropped, none lost with another."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.proxy import sweep as module
from gateway.proxy.sweep import TURNS_PER_SECOND, Sweep

TURN = 1 / TURNS_PER_SECOND


class Watched:
    def __init__(self, clock, then=None) -> None:
        self.due, self.turn = 0.0, 0
        self.expired = []
        self._clock, self._then = clock, then

    def expire(self, _: float) -> None:
        self.expired.append(self._clock.now)
        if self._then:
            self._then()


@pytest.fixture
def sweep(loop) -> Sweep:
    return Sweep(loop)


def test_expires_within_a_turn(sweep, loop, clock) -> None:
    """A deadline is kept not before its time and at most two turns after."""
    watched = Watched(clock)
    due = clock.now + 1.234
    sweep.watch(watched, due)
    loop.advance(5)
    (when,) = watched.expired
    assert due <= when <= due + 2 * TURN


def test_moved_later(sweep, loop, clock) -> None:
    """A deadline that is moved on, as by every byte that arrives, is kept at its last time only."""
    watched = Watched(clock)
    for _ in range(100):
        due = clock.now + 1
        sweep.watch(watched, due)
        loop.advance(0.5)
    assert watched.expired == []
    loop.advance(5)
    (when,) = watched.expired
    assert due <= when <= due + 2 * TURN


def test_moved_earlier(sweep, loop, clock) -> None:
    """A deadline that is moved forward is kept at the earlier time, once."""
    watched = Watched(clock)
    sweep.watch(watched, clock.now + 10)
    sweep.watch(watched, due := clock.now + 1)
    loop.advance(20)
    (when,) = watched.expired
    assert due <= when <= due + 2 * TURN


def test_in_the_past(sweep, loop, clock) -> None:
    """A deadline that has passed already is kept at the next turn."""
    watched = Watched(clock)
    sweep.watch(watched, clock.now - 5)
    loop.advance(2 * TURN)
    assert len(watched.expired) == 1


def test_forgotten(sweep, loop, clock) -> None:
    """A deadline that was dropped is not kept; dropping twice is no error."""
    watched = Watched(clock)
    sweep.watch(watched, clock.now + 1)
    sweep.forget(watched)
    sweep.forget(watched)
    loop.advance(5)
    assert watched.expired == []


def test_nothing_turns_when_nobody_waits(sweep, loop, clock) -> None:
    """An idle worker is not woken fifty times a second, and the wheel starts anew after a long pause."""
    watched = Watched(clock)
    sweep.watch(watched, clock.now + 1)
    loop.advance(2)
    assert not loop._timers
    loop.advance(100_000)
    sweep.watch(watched, due := clock.now + 1)
    loop.advance(2)
    assert due <= watched.expired[1] <= due + 2 * TURN


def test_stopped_process_catches_up(sweep, loop, clock) -> None:
    """After the whole process stood still, every deadline that passed meanwhile is kept."""
    many = [Watched(clock) for _ in range(50)]
    for number, watched in enumerate(many):
        sweep.watch(watched, clock.now + number / 10)
    clock.now += 60
    loop.advance(TURN)
    assert all(len(watched.expired) == 1 for watched in many)


def test_one_expiry_moves_or_drops_another(sweep, loop, clock) -> None:
    """What is due in the same turn may be dropped, or given more time, by whoever expires first."""
    dropped, moved = Watched(clock), Watched(clock)
    due = clock.now + 1

    def interfere() -> None:
        sweep.forget(dropped)
        sweep.watch(moved, clock.now + 5)

    first = [Watched(clock, interfere) for _ in range(20)]
    for watched in (*first, dropped, moved):
        sweep.watch(watched, due)
    loop.advance(2)
    # Within one turn the order is open: whoever expired did so once, and whoever was dropped before did not.
    assert all(len(watched.expired) == 1 for watched in first)
    assert len(dropped.expired) <= 1
    loop.advance(10)
    assert moved.expired[-1] >= due + 5


def test_failing_expiry_harms_no_other(sweep, loop, clock) -> None:
    """When one deadline cannot be kept, it is reported, and all others are kept, now and later."""

    def fail() -> None:
        raise RuntimeError("broken")

    broken = [Watched(clock, fail) for _ in range(3)]
    well = [Watched(clock) for _ in range(20)]
    for watched in (*broken, *well):
        sweep.watch(watched, clock.now + 1)
    loop.advance(2)
    assert len(loop.failures) == 3
    assert all(len(watched.expired) == 1 for watched in well)
    sweep.watch(well[0], clock.now + 1)
    loop.advance(2)
    assert len(well[0].expired) == 2


def test_expired_asks_anew(sweep, loop, clock) -> None:
    """Whoever expires may ask for another deadline at once."""
    watched = Watched(clock)
    watched._then = lambda: sweep.watch(watched, clock.now + 1) if len(watched.expired) < 3 else None
    sweep.watch(watched, clock.now + 1)
    loop.advance(10)
    assert len(watched.expired) == 3


def test_closed(sweep, loop, clock) -> None:
    """A wheel that was closed keeps no deadline, and whoever was on it may still be dropped."""
    watched = Watched(clock)
    sweep.watch(watched, clock.now + 1)
    sweep.close()
    sweep.close()
    loop.advance(5)
    assert watched.expired == []
    sweep.forget(watched)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("watch"), st.integers(0, 4), st.floats(-1, 3)),
        st.tuples(st.just("forget"), st.integers(0, 4), st.just(0.0)),
        st.tuples(st.just("advance"), st.just(0), st.floats(0, 2)),
    ),
    max_size=40,
)


def play(wheel, loop, clock, steps) -> None:
    """Play the steps; check every expiry against a plain table of deadlines."""
    wanted, watched = {}, []
    for number in range(5):
        one = Watched(clock)
        one._then = lambda number=number: _check(wanted, number, clock)
        watched.append(one)
    for step, number, seconds in steps:
        if step == "watch":
            wanted[number] = max(clock.now, clock.now + seconds)
            wheel.watch(watched[number], clock.now + seconds)
        elif step == "forget":
            wanted.pop(number, None)
            wheel.forget(watched[number])
        else:
            loop.advance(seconds)
            overdue = [due for due in wanted.values() if due < clock.now - 3 * TURN]
            assert not overdue, "a deadline was missed"


def _check(wanted, number, clock) -> None:
    due = wanted.pop(number)
    assert due <= clock.now + 1e-9, "a deadline was kept too early"


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_any_course(steps, new_time) -> None:
    """Whatever is watched, moved and dropped in whatever order: no deadline is early, late, or lost."""
    loop, clock = new_time()
    play(Sweep(loop), loop, clock, steps)
    assert not loop.failures, loop.failures


def test_control_a_wheel_that_ignores_earlier_times_is_found(new_time) -> None:
    """Control: a wheel that never moves a deadline forward misses one in the same game."""

    class Lazy(Sweep):
        def watch(self, watched, due) -> None:
            if watched.turn:
                watched.due = due
                return
            super().watch(watched, due)

    loop, clock = new_time()
    with pytest.raises(AssertionError, match="missed"):
        play(Lazy(loop), loop, clock, [("watch", 0, 3.0), ("watch", 0, 0.5), ("advance", 0, 1.0)])


@pytest.fixture
def new_time(loop, clock, monkeypatch):
    """A new loop and clock for every example."""
    kinds = type(loop), type(clock)

    def make():
        clock = kinds[1]()
        monkeypatch.setattr(module, "time", clock.module)
        return kinds[0](clock), clock

    return make
