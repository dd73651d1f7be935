"""Each way to choose among backends: whom it likes, that it is even, and how little it looks at."""

from __future__ import annotations

import random
from collections import Counter
from typing import get_args

import pytest

from gateway.core.admission import Backend
from gateway.core.balance import compile_pick
from gateway.core.spec import LoadBalancer

NAMES = get_args(LoadBalancer)


def backends(count):
    return [Backend(f"http://b{row}", row) for row in range(count)]


def rows(name, loads, times, seed=1):
    """The rows that are chosen, one after the other, while loads stay as they are."""
    pick = compile_pick(name, loads.__getitem__, random.Random(seed).random)
    candidates = backends(len(loads))
    return [pick(candidates, turn).row for turn in range(times)]


@pytest.mark.parametrize("name", NAMES)
def test_the_only_one(name):
    """Where there is no choice, it is made all the same."""
    assert rows(name, [7], 5) == [0] * 5


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [2, 3, 5])
def test_equals_are_treated_equally(name, count):
    """Idle backends get the same number of requests; by chance only nearly so."""
    seen = Counter(rows(name, [0] * count, 3_000))
    assert set(seen) == set(range(count))
    spread = 300 if name == "power_of_two" else 0
    assert max(seen.values()) - min(seen.values()) <= spread


def test_the_least_busy():
    """The one with the fewest requests; among those with as few, in turns."""
    assert set(rows("least_outstanding", [5, 2, 4], 10)) == {1}
    assert set(rows("least_outstanding", [3, 9, 3, 3], 12)) == {0, 2, 3}


def test_an_idle_one_ends_the_search():
    """Nobody is less busy than idle: at a light load only one is looked at."""
    looked = []

    def outstanding(row):
        looked.append(row)
        return 0

    compile_pick("least_outstanding", outstanding, None)(backends(10), 3)
    assert looked == [3]


def test_in_turns_whatever_the_load():
    """Round robin looks at nothing."""
    assert rows("round_robin", [9, 0, 5], 7) == [0, 1, 2, 0, 1, 2, 0]


def test_two_choices():
    """Of two different ones, drawn evenly, the less busy: the busiest of all gets nothing."""
    seen = Counter(rows("power_of_two", [3, 2, 1, 9], 6_000))
    assert 3 not in seen
    # Of the six pairs the least busy wins the three that it is in, the next one two, the third one the last.
    assert [round(seen[row] / 1_000) for row in (2, 1, 0)] == [3, 2, 1]


def test_control_without_chance_not_all_are_reached():
    """Control: a draw that always comes out the same is seen by the counts above."""
    pick = compile_pick("power_of_two", [0, 0, 0].__getitem__, lambda: 0.0)
    assert {pick(backends(3), turn).row for turn in range(100)} == {0}
