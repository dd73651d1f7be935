"""`make bench`: the gateway beside other proxies, in interleaved rounds on one core each; a report and JSON.

Progress goes to standard error, the report to standard output: `make -s bench >table.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import backend, machine, report
from bench.contest import Contest
from bench.peers import PEERS, SCOREGATE
from bench.peers.peer import Setting, packaged
from bench.scenarios import SCENARIOS, Scenario
from gateway.certificate import make_development_certificate

FOLDER = Path("var/bench").resolve()


def main() -> int:
    """Measure, print the report; 1 if something that was asked for could not be measured."""
    options = _options()
    if why := _why_not():
        print(why, file=sys.stderr)
        return 1
    _allow_many_connections()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # servers are ended, whoever ends us
    FOLDER.mkdir(parents=True, exist_ok=True)
    chosen = [scenario for scenario in SCENARIOS if scenario.name in options.scenario]
    run = _prepare(options, chosen)
    try:
        for scenario in chosen:
            _measure(scenario, run)
    except KeyboardInterrupt:
        _tell("interrupted: the report holds what was measured until now")
    text = report.markdown(run, chosen)
    print(text, end="")
    if options.into is not None:
        options.into.write_text(report.insert(text, options.into.read_text(encoding="utf-8")), encoding="utf-8")
    options.json.write_text(json.dumps(report.document(run), indent=1), encoding="utf-8")
    return int(any(outcome.failed for outcome in run.outcomes.values()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=(__doc__ or "").partition("\n")[0])
    scenarios, peers = [scenario.name for scenario in SCENARIOS], [peer.name for peer in PEERS]
    _choice(parser, "--scenario", scenarios, "what to measure (default: all)")
    _choice(parser, "--peers", peers, "whom to compare with (default: all that can be had)")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each contestant (default: 5)")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a measurement (default: 4)")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 1 second: tells whether it runs, no more")
    parser.add_argument(
        "--json", type=Path, default=FOLDER / "latest.json", metavar="FILE", help="every round, as JSON"
    )
    parser.add_argument("--into", type=Path, metavar="PAGE", help="also put the report between the marks of this page")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 2, 1.0
    return options


def _choice(parser: argparse.ArgumentParser, name: str, known: Sequence[str], what: str) -> None:
    parser.add_argument(
        name, nargs="*", choices=known, default=known, metavar="NAME", help=f"{what}: {', '.join(known)}"
    )


def _why_not() -> str | None:
    """Why nothing can be measured here."""
    if not hasattr(os, "sched_getaffinity"):
        return "make bench needs Linux: it pins processes to cores and reads the kernel's books in /proc."
    if len(os.sched_getaffinity(0)) < 2:
        return "make bench needs two cores: one for the proxy, one for the load and the backend."
    return packaged("wrk", "wrk")()


def _prepare(options: argparse.Namespace, scenarios: Sequence[Scenario]) -> report.Run:
    """Peers that are asked for, and here or to be had; a line for each that is not."""
    there, left_out = [], {}
    wanted = {name for scenario in scenarios for name in scenario.peers} & set(options.peers)
    for peer in PEERS:
        if peer.name in wanted:
            missing = peer.obtain()
            if missing:
                left_out[peer.name] = missing
                _tell(f"left out: {peer.name}: {missing}")
            else:
                there.append(peer)
    return report.Run(machine.describe(), (SCOREGATE, *there), options.rounds, options.seconds, left_out=left_out)


def _measure(scenario: Scenario, run: report.Run) -> None:
    _tell(f"{scenario.name}: {scenario.title}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=FOLDER)))
        cores = machine.cores()
        port = stack.enter_context(backend.running(cores.backend, folder / "backend.log"))
        make_development_certificate(folder / "tls")
        peers = [peer for peer in run.peers if peer.name in scenario.peers]
        contestants = scenario.compose(Setting(port, folder / "tls", cores), peers)
        contest = Contest(contestants, folder, _tell)
        run.keep(scenario, contestants, contest.outcome)
        contest.hold(run.rounds, run.seconds * scenario.stretch)


def _allow_many_connections() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
