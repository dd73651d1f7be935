"""Rate limits: what may be used at once, what over any window, and how long to wait."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.gcra import Cells, Limit, admit
from gateway.core.spec import RateLimitSpec
from gateway.proxy.cells import SharedCells

UPTIMES = st.floats(0, 1e8)
"""Monotonic seconds: a machine that has just started, up to one that runs for three years."""


def limit_of(requests=10, per_seconds=1.0, burst=None):
    return Limit.of(RateLimitSpec("burst", requests, per_seconds, burst))


def admitted(limit, times):
    """The instants of `times` at which a request was within the limit."""
    tat, passed = 0.0, []
    for now in times:
        tat, wait = admit(tat, now, limit)
        if not wait:
            passed.append(now)
    return passed


def too_many(limit, passed):
    """Whether any window holds more than `burst + rate * window` of these, by more than a hundredth of one."""
    burst = round(limit.tolerance / limit.cost)
    return any(
        end - start + 1 > burst + (passed[end] - passed[start]) / limit.cost + 0.011
        for start in range(len(passed))
        for end in range(start, len(passed))
    )


def test_a_limit_is_counted_as_configured():
    """Cost is seconds per request, tolerance the seconds that a burst costs; no `burst` means `requests`."""
    assert limit_of(10, 5.0) == Limit("burst", 0.5, 5.0, 10, 5.0)
    assert limit_of(10, 5.0, 4) == Limit("burst", 0.5, 2.0, 10, 5.0)


@given(
    requests=st.integers(1, 50),
    per_seconds=st.floats(0.1, 100),
    burst=st.none() | st.integers(1, 20),
    start=UPTIMES,
    steps=st.lists(st.floats(0, 3), max_size=60),
)
def test_no_window_holds_more_than_burst_and_rate(requests, per_seconds, burst, start, steps):
    """However requests arrive: over any window at most `burst + rate * window` are admitted."""
    limit = limit_of(requests, per_seconds, burst)
    times = [start := start + step * limit.cost for step in steps]
    assert not too_many(limit, admitted(limit, times))


def test_control_a_fixed_window_counter_is_seen():
    """The usual counter that starts anew each second admits twice the burst around its edge: the check finds it."""
    assert too_many(limit_of(10, 1.0), [0.99] * 10 + [1.0] * 10)
    assert not too_many(limit_of(10, 1.0), [0.99] * 10)


@given(burst=st.integers(1, 200), requests=st.sampled_from([1, 7, 100, 1000]), now=UPTIMES)
def test_a_whole_burst_passes_at_once(burst, requests, now):
    """All of a burst in one instant is admitted and the next is not, also when the clock has counted for years."""
    limit = limit_of(requests, 1.0, burst)
    assert len(admitted(limit, [now] * (burst + 1))) == burst


@given(now=UPTIMES, requests=st.integers(1, 1000), more=st.integers(0, 3))
def test_who_waits_as_told_is_admitted(now, requests, more):
    """The wait is enough, and is at most what the refused request itself costs."""
    limit = limit_of(requests, 60.0, 3)
    tat = 0.0
    for _ in range(3):
        tat, wait = admit(tat, now, limit)
        assert wait == 0.0
    for _ in range(more + 1):
        unchanged, wait = admit(tat, now, limit)
        assert unchanged == tat, "a refused request costs nothing"
    assert 0 < wait <= limit.cost * 1.001
    assert admit(tat, now + wait, limit)[1] == 0.0


def test_requests_at_the_rate_are_never_refused():
    """One every `cost` seconds passes for as long as it goes on."""
    limit = limit_of(10, 1.0, 1)
    times = [1e6 + step * 0.1 for step in range(1000)]
    assert admitted(limit, times) == times


def test_an_old_cell_equals_a_new_one():
    """A time long past gives the same answer as none: cells may be lent to other keys."""
    limit = limit_of()
    assert admit(0.0, 1e6, limit) == admit(999_999.0, 1e6, limit) == (1e6 + limit.cost, 0.0)


@pytest.mark.parametrize("method", ["admit", "refund"])
def test_the_shared_cells_take_what_the_protocol_says(method):
    """The shared-memory form offers the protocol's methods with the same parameters."""
    assert inspect.signature(getattr(SharedCells, method)) == inspect.signature(getattr(Cells, method))
