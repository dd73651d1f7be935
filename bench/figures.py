"""From rounds to numbers a person can trust: medians and extremes, compared round by round."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.rounds import Round


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over several rounds."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        """Such as `2.31 (2.25 to 2.40)`."""
        return f"{short(self.median)} ({short(self.least)} to {short(self.most)})"


def spread(values: Sequence[float]) -> Spread:
    """Median and extremes of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))


def median(rounds: Sequence[Round], figure: str) -> float:
    """Of the rounds that have this figure; at least one must."""
    return statistics.median(one.figures[figure] for one in rounds if figure in one.figures)


def compared(
    ours: Sequence[Round], theirs: Sequence[Round], figure: str, relate: Callable[[float, float], float]
) -> Spread:
    """Each round of ours related to theirs beside it in time, which saw the same machine.

    Pairs of calm rounds count; all, if there is no such pair.
    """
    pairs = list(zip(ours, theirs, strict=False))
    calm = [(our, their) for our, their in pairs if our.disturbance.is_calm and their.disturbance.is_calm]
    return spread([relate(our.figures[figure], their.figures[figure]) for our, their in calm or pairs])


def disturbed(rounds: Sequence[Round]) -> int:
    """How many were not calm in the end."""
    return sum(not one.disturbance.is_calm for one in rounds)


def short(value: float) -> str:
    """Three digits that mean something, or all before the point."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
