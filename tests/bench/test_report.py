"""What people and programs read of a run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench import report
from bench.contest import Outcome
from bench.machine import Cores, Disturbance
from bench.peers import SCOREGATE
from bench.peers.nginx import NGINX
from bench.peers.peer import Setting
from bench.rounds import Round
from bench.scenarios import SCENARIOS

HEADLINE = SCENARIOS[0]
MACHINE = {"date": "2026-01-01", "processor": "some, 2 cores", "kernel": "6", "python": "3.11"}


def a_round(cpu_us, *, stolen=0.0):
    figures = {"requests": 1000.0, "cpu_us": cpu_us, "per_second": 1e6 / cpu_us, "p50_ms": 1.0, "p99_ms": 2.0}
    return Round(figures | {"memory_mib": 100.0}, Disturbance(stolen, 0.0))


@pytest.fixture
def run():
    """The headline with two rounds of the gateway and nginx, and a peer that broke."""
    peers = [replace(peer, version=lambda: "1.0") for peer in (SCOREGATE, NGINX)]
    made = report.Run(MACHINE, peers, 2, 4.0, left_out={"caddy": "caddy is not installed."})
    rounds = {"scoregate": [a_round(50), a_round(75, stolen=0.5)], "nginx": [a_round(25), a_round(25)]}
    contestants = HEADLINE.compose(Setting(1, Path(), Cores(*[frozenset({0})] * 3)), [NGINX])
    made.keep(HEADLINE, contestants, Outcome(rounds, {"haproxy": "it ended\nwith many lines"}))
    return made


def test_the_headline_comes_first_with_its_verdict(run):
    """Twice nginx in the calm round: the must and the goal are held."""
    rows = [line for line in report.markdown(run, SCENARIOS).splitlines() if line.startswith("|")]
    assert rows[2] == (
        f"| every head different, plain: the headline | 2.00 (2.00 to 2.00) {report.TIMES} nginx"
        f" | ≤ 2.7 {report.TIMES} nginx | yes | ≤ 2 {report.TIMES} nginx | yes |"
    )


def test_a_reader_learns_what_is_missing_and_what_was_disturbed(run):
    """Nobody takes a table for whole, or a round for calm, that was not."""
    text = report.markdown(run, SCENARIOS)
    assert "Left out: caddy: caddy is not installed." in text
    assert "| haproxy | not measured: it ended |" in text
    assert "| 1 of 2 |" in text
    assert "**1 of 4 rounds were disturbed" in text


def test_every_round_is_told_to_programs(run):
    """The JSON has the rounds themselves, and each budget with its verdict."""
    told = json.loads(json.dumps(report.document(run)))
    assert [one["figures"]["cpu_us"] for one in told["scenarios"]["different-plain"]["rounds"]["scoregate"]] == [50, 75]
    assert told["budgets"][0]["must_held"] == "yes"
    assert told["budgets"][1]["measured"] is None


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_column_of_a_scenario_has_a_head(scenario):
    """A figure that is shown says what it is."""
    assert set(scenario.columns) <= set(report.COLUMNS)


def test_a_report_takes_the_place_of_the_one_before():
    """What a person wrote around it stays; a page without a place is told so."""
    page = f"# Title\n{report.BEGIN}\nold\n{report.END}\nend\n"
    assert report.insert("new\n", page) == f"# Title\n{report.BEGIN}\nnew\n{report.END}\nend\n"
    with pytest.raises(ValueError, match="no place for a report"):
        report.insert("new\n", "# Title\n")
