"""Failures on the admin port: so many an address, and never more memory than that of ten thousand."""

from __future__ import annotations

from gateway.control import failures
from gateway.control.failures import Failures


def test_a_burst_and_then_a_rate() -> None:
    """As many at once as a minute allows, then one each time that its share of the minute has passed."""
    now = 0.0
    counted = Failures(6, lambda: now)
    assert [counted.count("a") for _ in range(6)] == [0.0] * 6
    assert counted.count("a") == 10.0
    now = 10.0
    assert counted.count("a") == 0.0
    assert counted.count("a") > 0


def test_each_address_by_itself() -> None:
    """Failures from one address say nothing about another; an IPv6 network is one."""
    counted = Failures(1, lambda: 0.0)
    assert counted.count("203.0.113.7") == counted.count("203.0.113.8") == counted.count("2001:db8::1") == 0.0
    assert counted.count("2001:db8::2") > 0


def test_nothing_is_counted_without_a_limit() -> None:
    """0: any number."""
    counted = Failures(0)
    assert [counted.count("a") for _ in range(1000)] == [0.0] * 1000


def test_memory_is_bounded(monkeypatch) -> None:
    """Of more addresses than are kept, those that failed longest ago are forgotten."""
    monkeypatch.setattr(failures, "MAX_ADDRESSES", 3)
    counted = Failures(1, lambda: 0.0)
    for address in ("a", "b", "c", "a", "d"):
        counted.count(address)
    assert list(counted._tats) == ["c", "a", "d"]
