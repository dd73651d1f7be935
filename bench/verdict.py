"""Whether a run keeps its budgets."""

from __future__ import annotations

import operator
from collections.abc import Mapping

from bench.budget import Budget
from bench.contest import Outcome
from bench.figures import Spread, compared, spread


def measured(budget: Budget, outcomes: Mapping[str, Outcome]) -> Spread | None:
    """What the budget limits, as it was measured; None when it was not."""
    rounds = outcomes[budget.scenario].rounds if budget.scenario in outcomes else {}
    ours, theirs = rounds.get(budget.line), rounds.get(budget.to)
    if budget.relation == "itself" and ours:
        return spread([one.figures[budget.figure] for one in ours])
    if not ours or not theirs:
        return None
    if budget.relation == "ratio":
        return compared(ours, theirs, budget.figure, operator.truediv)
    return compared(ours, theirs, budget.figure, lambda our, their: (our - their) * budget.scale)


def held(budget: Budget, value: Spread) -> tuple[str, str]:
    """(must, goal): `yes`, `no` or empty, by the median."""
    return _within(value.median, budget.must), _within(value.median, budget.goal)


def _within(value: float, most: float | None) -> str:
    return "" if most is None else "yes" if value <= most else "no"
