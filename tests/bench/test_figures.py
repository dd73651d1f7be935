"""From rounds to medians, extremes and ratios."""

from __future__ import annotations

import operator

import pytest

from bench.figures import compared, disturbed, median, short, spread
from bench.machine import Disturbance
from bench.rounds import Round

CALM, STOLEN, FOREIGN = Disturbance(0.0, 0.02), Disturbance(0.2, 0.0), Disturbance(0.0, 0.5)


def rounds(*costs, took=CALM):
    return [Round({"cpu_us": cost}, took) for cost in costs]


def test_a_spread_is_median_and_extremes():
    """The middle of the rounds speaks for them, and the extremes show how far to trust it."""
    assert str(spread([3.0, 1.0, 10.0])) == "3.00 (1.00 to 10.0)"


def test_ratios_are_taken_between_neighbours_in_time():
    """A machine that is twice as slow in one round changes no ratio of that round."""
    value = compared(rounds(50, 100, 50), rounds(25, 50, 25), "cpu_us", operator.truediv)
    assert (value.least, value.median, value.most) == (2.0, 2.0, 2.0)


def test_a_ratio_of_medians_would_not_do():
    """The control: medians that come from different rounds compare different machines."""
    ours, theirs = rounds(50, 100, 100), rounds(25, 25, 50)
    assert median(ours, "cpu_us") / median(theirs, "cpu_us") == 4.0
    assert compared(ours, theirs, "cpu_us", operator.truediv).median == 2.0


@pytest.mark.parametrize("took", [STOLEN, FOREIGN])
def test_a_disturbed_round_does_not_count_beside_calm_ones(took):
    """What others took from one side of a pair is not read as the cost of the other."""
    ours = [*rounds(50, 50), *rounds(500, took=took)]
    value = compared(ours, rounds(25, 25, 25), "cpu_us", operator.truediv)
    assert value.most == 2.0
    assert disturbed(ours) == 1


def test_disturbed_rounds_count_when_there_are_no_others():
    """A busy machine gets a report all the same; the column of disturbed rounds tells what it is worth."""
    assert compared(rounds(50, took=STOLEN), rounds(25), "cpu_us", operator.truediv).median == 2.0


@pytest.mark.parametrize(
    ("value", "text"), [(0.0312, "0.03"), (2.345, "2.35"), (23.45, "23.4"), (234.5, "234"), (23456.7, "23,457")]
)
def test_numbers_show_three_digits(value, text):
    """No reader is told digits that the next run changes."""
    assert short(value) == text
