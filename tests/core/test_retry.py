"""Further tries are a share of all requests, within a window that slides."""

from __future__ import annotations

import pytest

from gateway.core.retry import FREE, SLOT_SECONDS, WINDOW_SECONDS, RetryBudget

NOW = 1_000.0


def request(budget, now, count=1):
    """Requests come, as `core.admission` counts them."""
    for _ in range(count):
        if now >= budget.slot_ends:
            budget.turn(now)
        budget.requests += 1


def spend(budget, now, count):
    """How many of `count` further tries are allowed."""
    return sum(budget.spend(now) for _ in range(count))


def test_a_lone_request_may_be_tried_again():
    """A small number is free, whatever the share of few requests would be."""
    budget = RetryBudget(20)
    request(budget, NOW)
    assert spend(budget, NOW, 100) == FREE


def test_of_many_requests_a_share():
    """20 % of 1,000 requests, wherever in the window they came."""
    budget = RetryBudget(20)
    for second in range(5):
        request(budget, NOW + second, 200)
    assert spend(budget, NOW + 4.5, 1_000) == 200


def test_what_was_spent_comes_back_with_time():
    """Both requests and further tries leave the window."""
    budget = RetryBudget(10)
    request(budget, NOW, 1_000)
    assert spend(budget, NOW, 1_000) == 100
    assert spend(budget, NOW + 5, 1_000) == 0
    later = NOW + WINDOW_SECONDS + SLOT_SECONDS
    assert spend(budget, later, 1_000) == FREE
    request(budget, later, 500)
    assert spend(budget, later, 1_000) == 50 - FREE


def test_a_steady_load_is_never_doubled():
    """A minute in which every request fails: no window of it has more further tries than the share."""
    budget, spent = RetryBudget(20), []
    for tick in range(6_000):
        now = NOW + tick / 100
        request(budget, now)
        if budget.spend(now):
            spent.append(now)
    for start in spent:
        in_window = [moment for moment in spent if start <= moment < start + WINDOW_SECONDS]
        assert len(in_window) <= 0.2 * 100 * (WINDOW_SECONDS + SLOT_SECONDS)
    assert 1_100 <= len(spent) <= 1_200 + FREE


@pytest.mark.parametrize("requests", [1, 10_000])
def test_nothing_of_it_is_nothing(requests):
    """A share of 0 means no further try at all."""
    budget = RetryBudget(0)
    request(budget, NOW, requests)
    assert spend(budget, NOW, 10) == 0


def test_another_share_from_now_on():
    """What was counted stays when the share changes."""
    budget = RetryBudget(0)
    request(budget, NOW, 1_000)
    budget.reshape(10)
    assert spend(budget, NOW, 1_000) == 100
    budget.reshape(5)
    assert spend(budget, NOW, 1_000) == 0


def test_control_a_budget_that_forgets_is_seen():
    """Control: one that does not count what was spent allows every request a further try."""

    class Forgetful(RetryBudget):
        __slots__ = ()

        def spend(self, now):
            is_allowed = super().spend(now)
            self._retries = 0
            return is_allowed

    budget = Forgetful(20)
    request(budget, NOW, 1_000)
    assert spend(budget, NOW, 1_000) == 1_000
