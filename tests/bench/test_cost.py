"""The gate against regressions: what a request costs, counted, beside the figures that are checked in."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # bench/ is not installed

from bench import callgrind, cost

HOW_TO = "if that is meant: .venv/bin/python -m bench.cost --update, and say why in the change"
ONE_MORE_DICT = """
from gateway.proxy.client import Client
source = '''
def slowed(self, message):
    message.exchange.fields = dict(message.exchange.fields)
    original(self, message)
'''
scope = {"original": Client._arrived}
exec(compile(source, Client._arrived.__code__.co_filename, "exec"), scope)
Client._arrived = scope["slowed"]
"""


@pytest.fixture(scope="module")
def known():
    """The figures for this Python; without any there is nothing to compare."""
    known = cost.known()
    if known is None:
        pytest.skip(f"bench/cost.json has no figures for Python {cost.version()}: python -m bench.cost --update")
    return known


@pytest.fixture(scope="module")
def measured():
    """Everything that is counted but instructions, as it is now."""
    return cost.measure()


@pytest.fixture(scope="module")
def hops(measured):
    """Of that, the scenarios that go through the listener."""
    return {scenario: counts for scenario, counts in measured.items() if scenario.startswith("hop")}


def test_no_count_has_grown(measured, known) -> None:
    """A request takes no more bytecodes, blocks of memory, suspensions and writes than the checked-in figures say."""
    found = cost.regressions(measured, known["figures"])
    assert not found, "\n".join([*found, HOW_TO])


def test_instructions_have_not_grown(known) -> None:
    """A request takes no more instructions than the checked-in figures say, where they were taken on such a build."""
    if shutil.which("valgrind") is None and os.environ.get("CI") == "true":
        pytest.fail(f"valgrind is missing: {callgrind.INSTALL}")
    if why := callgrind.why_not():
        pytest.skip(why)
    if known["build"] != cost.build():
        pytest.skip(f"the known instructions are of another build ({known['build']}), this is {cost.build()}")
    found = cost.regressions(cost.instructions(), known["figures"])
    assert not found, "\n".join([*found, HOW_TO])


def test_one_suspension_and_one_write_each_way(hops) -> None:
    """A request waits once, for its answer; it is one write to the backend, and its answer one to the client."""
    for counts in hops.values():
        assert counts["suspensions"] == counts["writes to the backend"] == counts["writes to the client"] == 1


def test_nothing_is_left_to_the_garbage_collector(measured) -> None:
    """A request leaves no cycle of objects behind."""
    assert {counts["left to the garbage collector"] for counts in measured.values()} == {0}


def test_every_scenario_is_known(measured, known) -> None:
    """The checked-in figures are of the same scenarios: none is left out of the comparison."""
    assert measured.keys() == known["figures"].keys()


def test_control_one_more_dict_is_caught(measured) -> None:
    """Control: a copy of one small dict for each request is a regression, in every scenario that makes requests."""
    found = cost.regressions(cost.measure(prelude=ONE_MORE_DICT), measured)
    assert [text.split(":")[0] for text in found if "allocations" in text] == [
        scenario for scenario in measured if "hop" in scenario
    ]


def test_control_two_percent_is_caught() -> None:
    """Control: instructions that grow by more than their tolerance are a regression, and within it none."""
    known = {"hop": {"instructions": 100_000.0}}
    assert cost.regressions({"hop": {"instructions": 101_900.0}}, known) == []
    assert len(cost.regressions({"hop": {"instructions": 102_100.0}}, known)) == 1


@pytest.mark.prove
@pytest.mark.skipif(callgrind.why_not() is not None, reason=str(callgrind.why_not()))
def test_counts_are_the_same_again() -> None:
    """Counted again, and over twice as many requests, instructions differ by less than 1 %, and nothing else at all."""
    assert cost.measure() == cost.measure()
    first = cost.instructions()
    for again in (cost.instructions(), cost.instructions(asked=2 * cost.REQUESTS)):
        for scenario, counts in first.items():
            assert counts["instructions"] == pytest.approx(again[scenario]["instructions"], rel=0.01)
