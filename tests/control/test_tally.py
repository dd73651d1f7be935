"""Sums over lives: counters never go backwards, gauges die with their worker."""

from __future__ import annotations

from gateway.control.tally import Tally
from gateway.core.meter import BUCKETS, IN_FLIGHT, QUEUE_WAIT, REQUESTS

SERIES = (REQUESTS.name, ("diabetes", "200"))


def requests(count: float, service: str = "diabetes"):
    return (REQUESTS.name, (service, "200"), (count,))


def test_sums_over_lives() -> None:
    """Counters, gauges and histograms of two workers are added; a newer count of a life replaces its older one."""
    tally = Tally()
    wait = (QUEUE_WAIT.name, ("diabetes",), (1.0,) * (len(BUCKETS) + 2))
    tally.record("a", [requests(1)])
    tally.record("a", [requests(5), (IN_FLIGHT.name, ("diabetes",), (2.0,)), wait])
    tally.record("b", [requests(7), (IN_FLIGHT.name, ("diabetes",), (1.0,)), wait])
    totals = tally.totals({"a", "b"})
    assert totals[SERIES] == (12,)
    assert totals[IN_FLIGHT.name, ("diabetes",)] == (3,)
    assert totals[QUEUE_WAIT.name, ("diabetes",)] == (2.0,) * (len(BUCKETS) + 2)


def test_counters_outlive_their_worker() -> None:
    """A dead worker's counters stay in the sum, its gauges leave it; the control, forgetting lives, would go back."""
    tally = Tally()
    tally.record("a", [requests(5), (IN_FLIGHT.name, ("diabetes",), (2.0,))])
    tally.end("a")
    tally.record("b", [requests(1)])
    assert tally.totals({"b"})[SERIES] == (6,)
    assert (IN_FLIGHT.name, ("diabetes",)) not in tally.totals({"b"})
    forgetful = Tally()
    forgetful.record("b", [requests(1)])
    assert forgetful.totals({"b"})[SERIES] < (5,)


def test_disconnected_life_counts_without_gauges() -> None:
    """While a worker is not connected its last counters count, its last gauges do not."""
    tally = Tally()
    tally.record("a", [requests(5), (IN_FLIGHT.name, ("diabetes",), (2.0,))])
    assert tally.totals(set()) == {SERIES: (5,)}


def test_names_of_the_past_do_not_pile_up() -> None:
    """What dead lives counted for a deleted service goes with it."""
    tally = Tally()
    tally.record("a", [requests(5), requests(1, "gone")])
    tally.end("a")
    tally.forget("gone")
    assert tally.totals(set()) == {SERIES: (5,)}


def test_rows_that_do_not_fit_are_left_out() -> None:
    """Unknown metrics, wrong labels and wrong numbers of values are no reason to lose the scrape."""
    tally = Tally()
    rows = [("unknown", (), (1.0,)), (REQUESTS.name, (), (1.0,)), (QUEUE_WAIT.name, ("x",), (1.0,)), requests(1)]
    tally.record("a", rows)
    assert tally.totals({"a"}) == {SERIES: (1,)}
