"""Floods in the audit log: the first is told, the rest are counted, and nothing grows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.control.repeats import WINDOW_SECONDS, Repeats
from gateway.core.audit import AuditEntry

ENTRY = AuditEntry(at=datetime(2026, 11, 21, 12, tzinfo=UTC), actor="-", action="get_keys", address="a", result="401")


def test_the_first_is_told_and_the_rest_are_counted() -> None:
    """One entry now, one at the end of the window with how many there were; then it begins anew."""
    repeats = Repeats(10, collapse=True)
    assert repeats.take(ENTRY, 0.0) == ENTRY
    assert [repeats.take(ENTRY, float(second)) for second in range(1, 100)] == [None] * 99
    assert repeats.over(WINDOW_SECONDS - 1) == []
    assert [one.result for one in repeats.over(WINDOW_SECONDS)] == ["401, 99 more times since"]
    assert repeats.take(ENTRY, WINDOW_SECONDS) == ENTRY


def test_what_came_once_is_told_once() -> None:
    """A window in which nothing was repeated leaves no second entry."""
    repeats = Repeats(10, collapse=True)
    repeats.take(ENTRY, 0.0)
    assert repeats.over(WINDOW_SECONDS) == []


@pytest.mark.parametrize("name", ["actor", "address", "action", "service", "target", "result"])
def test_kinds_are_told_apart(name: str) -> None:
    """Another actor, address, action, service, target or result is another kind."""
    repeats = Repeats(10, collapse=True)
    repeats.take(ENTRY, 0.0)
    other = replace(ENTRY, **{name: "other"})
    assert repeats.take(other, 0.0) == other


def test_too_many_kinds_become_one() -> None:
    """A flood from thousands of addresses is told with how many there were, and is as small as any."""
    repeats = Repeats(10, collapse=True)
    told = [repeats.take(replace(ENTRY, address=str(number)), 0.0) for number in range(5000)]
    written = [one for one in told if one is not None]
    assert len(written) == 11
    assert (written[-1].address, written[-1].action, written[-1].result) == ("(others)", "-", "401")
    assert [one.result for one in repeats.over(WINDOW_SECONDS)] == ["401, 4989 more times since"]


def test_or_each_is_told() -> None:
    """What must not be lost is told each time when there are too many kinds to remember."""
    repeats = Repeats(10, collapse=False)
    entries = [replace(ENTRY, address=str(number)) for number in range(50)]
    assert [repeats.take(entry, 0.0) for entry in entries] == entries
