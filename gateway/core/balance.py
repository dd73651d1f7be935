"""How one of several backends is chosen: one small function for each `load_balancer`, made when a service is compiled.

A strategy only names the one it likes best of those it is shown; who may be shown, and whether there is a permit, is
decided by `core.admission`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gateway.core.spec import LoadBalancer

if TYPE_CHECKING:
    from gateway.core.admission import Backend

Pick = Callable[[Sequence["Backend"], int], "Backend"]
"""(candidates, at least one; the number of this choice, which goes up by one) → the one that is liked best."""
Outstanding = Callable[[int], int]
"""Row → requests of all workers there."""
Chance = Callable[[], float]
"""A random number from 0 up to 1."""


def compile_pick(name: LoadBalancer, outstanding: Outstanding, chance: Chance) -> Pick:
    """The strategy of this name."""
    return _STRATEGIES[name](outstanding, chance)


def _least_outstanding(outstanding: Outstanding, _: Chance) -> Pick:
    """Equally loaded backends take turns, else the first would get all of a light load."""

    def pick(candidates: Sequence[Backend], turn: int) -> Backend:
        count = len(candidates)
        start = turn % count
        best = candidates[start]
        least = outstanding(best.row)
        for at in range(start + 1 - count, start):
            if not least:
                break
            other = candidates[at]
            load = outstanding(other.row)
            if load < least:
                best, least = other, load
        return best

    return pick


def _round_robin(_: Outstanding, __: Chance) -> Pick:
    def pick(candidates: Sequence[Backend], turn: int) -> Backend:
        return candidates[turn % len(candidates)]

    return pick


def _power_of_two(outstanding: Outstanding, chance: Chance) -> Pick:
    """The less busy one of two: nearly as even as the least busy of all, without looking at all of them."""

    def pick(candidates: Sequence[Backend], _: int) -> Backend:
        count = len(candidates)
        at = int(chance() * count)
        one = candidates[at]
        if count == 1:
            return one
        other = candidates[at - 1 - int(chance() * (count - 1))]
        return other if outstanding(other.row) < outstanding(one.row) else one

    return pick


_STRATEGIES: dict[LoadBalancer, Callable[[Outstanding, Chance], Pick]] = {
    "least_outstanding": _least_outstanding,
    "round_robin": _round_robin,
    "power_of_two": _power_of_two,
}
