"""Whether budgets are held, and that every budget is measured by some scenario."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.budget import BUDGETS, Budget
from bench.contest import Outcome
from bench.figures import spread
from bench.machine import Cores, Disturbance
from bench.peers import PEERS
from bench.peers.peer import Setting
from bench.rounds import Round
from bench.scenarios import SCENARIOS
from bench.verdict import held, measured

CORES = Cores(frozenset({0}), frozenset({1}), frozenset({1}))


def outcomes(**lines):
    rounds = {label: [Round({"cpu_us": cost, "mean_ms": cost}, Disturbance(0.0, 0.0))] for label, cost in lines.items()}
    return {"some": Outcome(rounds)}


@pytest.mark.parametrize(("relation", "value"), [("ratio", 2.0), ("difference", 300.0), ("itself", 60.0)])
def test_a_budget_limits_a_ratio_a_difference_or_a_figure(relation, value):
    """60 against 30: twice as much, 30 more (here in tenths), or just 60."""
    budget = Budget("", "some", "ours", "theirs", 1, 1, relation=relation, scale=10.0)
    assert measured(budget, outcomes(ours=60.0, theirs=30.0)).median == value


def test_what_was_not_measured_has_no_verdict():
    """A run with few scenarios or peers says nothing about the others."""
    budget = Budget("", "some", "ours", "theirs", 1, 1)
    assert measured(budget, {}) is None
    assert measured(budget, outcomes(ours=60.0)) is None


@pytest.mark.parametrize(("value", "verdict"), [(1.9, ("yes", "yes")), (2.5, ("yes", "no")), (2.8, ("no", "no"))])
def test_a_budget_is_held_by_its_median(value, verdict):
    """2.7 must be held, 2.0 is the goal."""
    budget = Budget("", "some", "ours", "theirs", 2.7, 2.0)
    assert held(budget, spread([0.0, value, 99.0])) == verdict


@pytest.mark.parametrize("budget", BUDGETS, ids=lambda budget: budget.what)
def test_every_budget_names_lines_that_a_scenario_has(budget):
    """A renamed line cannot silently take its budget out of the report."""
    setting = Setting(1, Path(), CORES)
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == budget.scenario)
    labels = {
        contestant.label
        for contestant in scenario.compose(setting, [peer for peer in PEERS if peer.name in scenario.peers])
    }
    assert budget.line in labels
    assert budget.relation == "itself" or budget.to in labels
