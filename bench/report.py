"""The report: Markdown for people, JSON for programs, from the same figures."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench import figures, verdict
from bench.budget import BUDGETS, Budget
from bench.contest import Contestant, Outcome
from bench.peers.peer import Peer
from bench.scenarios import Scenario

TIMES = "\N{MULTIPLICATION SIGN}"
BEGIN, END = "<!-- report: made by make bench -->", "<!-- end of the report -->"
COLUMNS = {
    "cpu_us": "CPU µs a request",
    "per_second": "requests/s",
    "per_core": "connections/s a core",
    "p50_ms": "p50 ms",
    "mean_ms": "mean ms",
    "p99_ms": "p99 ms",
    "late_ms": "client late by ms",
    "memory_mib": "memory MiB",
    "connection_kib": "KiB a connection",
    "answered_mb": "answered MB/s",
}


@dataclass(frozen=True, slots=True)
class Run:
    """All that a run knows in the end.

    `left_out`: peer → why; `against`: scenario → line → the line that it is compared with.
    """

    machine: Mapping[str, str]
    peers: Sequence[Peer]
    rounds: int
    seconds: float
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    against: dict[str, dict[str, str]] = field(default_factory=dict)

    def keep(self, scenario: Scenario, contestants: Sequence[Contestant], outcome: Outcome) -> None:
        """One more scenario is being measured; its outcome may still grow."""
        self.outcomes[scenario.name] = outcome
        self.against[scenario.name] = {contestant.label: contestant.against for contestant in contestants}


def markdown(run: Run, scenarios: Sequence[Scenario]) -> str:
    """The whole report."""
    told = run.machine
    machine = f"Measured on {told['date']}: {told['processor']}, Linux {told['kernel']}"
    lines = [
        f"{machine}; {run.rounds} interleaved rounds of {run.seconds:g} s; medians, in brackets the extremes.",
        *_warning(run),
        "",
        *_table(["what", "measured", "must", "must held", "goal", "goal held"], _budget_rows(run)),
    ]
    for scenario in scenarios:
        if scenario.name in run.outcomes:
            heads = ["", *(COLUMNS[name] for name in scenario.columns), "CPU compared", "disturbed"]
            lines += ["", f"### {scenario.title}", "", *_table(heads, _scenario_rows(scenario, run))]
            complaints = run.outcomes[scenario.name].complaints
            lines += [line for label, said in complaints.items() for line in ("", f"{label} logged much: {said[:500]}")]
    lines += ["", "### Who took part", ""]
    lines += _table(
        ["", "version", "what it does with a request"], ([peer.name, peer.version(), peer.work] for peer in run.peers)
    )
    lines += ["", *(f"Left out: {name}: {why}" for name, why in run.left_out.items())]
    return "\n".join(lines).rstrip() + "\n"


def insert(text: str, page: str) -> str:
    """A page with the report between its two marks. Raises ValueError if they are missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"the page has no place for a report: put {BEGIN} and {END} on lines of their own")
    return f"{before}{begin}\n{text}{end}{after}"


def document(run: Run) -> dict[str, Any]:
    """Everything that was measured, every round of it, for a program."""
    return {
        "machine": dict(run.machine),
        "rounds": run.rounds,
        "seconds": run.seconds,
        "versions": {peer.name: peer.version() for peer in run.peers},
        "left_out": run.left_out,
        "budgets": [_judged(budget, run) for budget in BUDGETS],
        "scenarios": {name: asdict(outcome) for name, outcome in run.outcomes.items()},
    }


def _judged(budget: Budget, run: Run) -> dict[str, Any]:
    value = verdict.measured(budget, run.outcomes)
    must, goal = verdict.held(budget, value) if value else ("", "")
    return asdict(budget) | {"measured": asdict(value) if value else None, "must_held": must, "goal_held": goal}


def _warning(run: Run) -> list[str]:
    rounds = [one for outcome in run.outcomes.values() for line in outcome.rounds.values() for one in line]
    count = figures.disturbed(rounds)
    if not count:
        return []
    return [
        "",
        f"**{count} of {len(rounds)} rounds were disturbed by other work on the machine: their ratios are rough.**",
    ]


def _budget_rows(run: Run) -> Iterator[list[str]]:
    for budget in BUDGETS:
        value = verdict.measured(budget, run.outcomes)
        if value is not None:
            unit = f" {budget.unit}" if budget.unit else f" {TIMES} {budget.to}"
            limits = ["" if limit is None else f"≤ {limit:g}{unit}" for limit in (budget.must, budget.goal)]
            must, goal = verdict.held(budget, value)
            yield [budget.what, f"{value}{unit}", limits[0], must, limits[1], goal]


def _scenario_rows(scenario: Scenario, run: Run) -> Iterator[list[str]]:
    outcome = run.outcomes[scenario.name]
    for label, rounds in outcome.rounds.items():
        cells = [
            figures.short(figures.median(rounds, name)) if name in rounds[0].figures else ""
            for name in scenario.columns
        ]
        disturbed = f"{figures.disturbed(rounds)} of {len(rounds)}"
        yield [label, *cells, _comparison(outcome, label, run.against[scenario.name][label]), disturbed]
    for label, why in outcome.failed.items():
        yield [label, f"not measured: {why.splitlines()[0]}"]


def _comparison(outcome: Outcome, label: str, against: str) -> str:
    ours, theirs = outcome.rounds[label], outcome.rounds.get(against)
    if label == against or not theirs or "cpu_us" not in ours[0].figures or "cpu_us" not in theirs[0].figures:
        return ""
    return f"{figures.compared(ours, theirs, 'cpu_us', operator.truediv)} {TIMES} {against}"


def _table(heads: Sequence[str], rows: Iterator[list[str]]) -> list[str]:
    filled = ([*row, *[""] * (len(heads) - len(row))] for row in rows)
    return [f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *filled)]
