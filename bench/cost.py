"""What one request costs, without noise: counts, not times. `python -m bench.cost`, compared by `make test`.

Two things are counted: *decide and settle* (find the service, its checks with a credential and one rate limit, a
permit taken and given back, the meters), and *one hop* through the listener on recorded bytes: no sockets, no event
loop, no TLS. Instructions are counted by callgrind; they hold for one build of Python on one kind of machine. The other
counts (bytecodes, blocks of memory, suspensions, writes) hold for one minor version of Python.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import callgrind

KNOWN = Path(__file__).with_name("cost.json")
ROOT = Path(__file__).parent.parent
REQUESTS = 150
TOLERANCES = {"instructions": (0.02, 0.0), "bytecodes": (0.01, 0.0)}
"""How far a count may be above its known figure: by this share of it, or by so many. Runs differ by 0.1 % and by 0."""
DEFAULT_TOLERANCE = (0.0, 0.9)
Figures = dict[str, dict[str, float]]
"""Scenario → what is counted → per request."""


def measure(memo: str = "on", prelude: str = "") -> Figures:
    """Count everything but instructions. `prelude`: Python that is run before, to see the cost of a change."""
    figures: Figures = json.loads(_run(memo, prelude=prelude))
    return figures


def instructions(memo: str = "on", asked: int = REQUESTS) -> Figures:
    """Count instructions, where callgrind is (`callgrind.why_not`), over so many requests."""
    with tempfile.TemporaryDirectory() as folder:
        _run(memo, "--requests", str(asked), before=callgrind.command(Path(folder)))
        counted = callgrind.counts(Path(folder))
    return {scenario: {"instructions": number / asked} for scenario, number in counted.items()}


def functions(memo: str) -> dict[str, list[tuple[str, float, float]]]:
    """Scenario → (function, bytecodes, blocks of memory) per request."""
    found: dict[str, list[tuple[str, float, float]]] = json.loads(_run(memo, "--functions"))
    return found


def version() -> str:
    """The minor version of Python, as the figures are filed."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def build() -> str:
    """What instructions depend on: the build of Python, its C library, the machine."""
    libc = " ".join(platform.libc_ver())
    return f"{platform.python_version()}, {platform.python_compiler()}, {libc}, {platform.machine()}"


def known() -> dict[str, Any] | None:
    """The figures checked in for this version of Python: `build`, and `figures`."""
    filed: dict[str, Any] = json.loads(KNOWN.read_text()) if KNOWN.exists() else {}
    return filed.get(version())


def regressions(measured: Figures, figures: Figures) -> list[str]:
    """A sentence for each count that is above its known figure by more than its tolerance."""
    found = []
    for scenario, counts in measured.items():
        for what, number in counts.items():
            before = figures.get(scenario, {}).get(what)
            share, more = TOLERANCES.get(what, DEFAULT_TOLERANCE)
            if before is not None and number > before * (1 + share) + more:
                found.append(f"{scenario}: {number:,.1f} {what} a request, known {before:,.1f}")
    return found


def _run(memo: str, *arguments: str, before: list[str] | None = None, prelude: str = "") -> str:
    program = f"import sys\n{prelude}\nfrom bench.counting import main\nsys.exit(main())"
    command = [*(before or []), sys.executable, "-c", program, "--memo", memo, *arguments]
    environ = os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environ).stdout


def _print(measured: Figures, figures: Figures) -> None:
    whats = list(dict.fromkeys(what for counts in measured.values() for what in counts))
    print(f"per request{'':19}" + "".join(f"{what:>{max(16, len(what) + 2)}}" for what in whats))
    for scenario, counts in measured.items():
        cells = []
        for what in whats:
            before = figures.get(scenario, {}).get(what)
            change = f" {counts[what] / before - 1:+.1%}" if before else ""
            cells.append(f"{counts[what]:,.1f}{change}".rjust(max(16, len(what) + 2)))
        print(f"{scenario:30}" + "".join(cells))


def _print_functions(found: dict[str, list[tuple[str, float, float]]]) -> None:
    for scenario, entries in found.items():
        print(f"\n{scenario:60}{'bytecodes':>12}{'blocks':>10}")
        for name, bytecodes, blocks in entries:
            print(f"  {name:58}{bytecodes:12,.1f}{blocks:10,.1f}")


def _update(measured: Figures) -> None:
    filed = json.loads(KNOWN.read_text()) if KNOWN.exists() else {}
    filed[version()] = {"build": build(), "figures": measured}
    KNOWN.write_text(json.dumps(filed, indent=1, sort_keys=True) + "\n")


def main() -> int:
    """Count, print beside the known figures, and write them where asked."""
    parser = argparse.ArgumentParser(prog="python -m bench.cost", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the counts here")
    parser.add_argument("--requests", type=int, default=REQUESTS, help="requests whose instructions are counted")
    parser.add_argument("--memo", choices=("on", "off"), default="on", help="the head memo of the listener")
    parser.add_argument("--update", action="store_true", help=f"make these the known figures ({KNOWN.name})")
    parser.add_argument("--functions", action="store_true", help="only show where the bytecodes and blocks come from")
    options = parser.parse_args()
    try:
        return _show(options)
    except subprocess.CalledProcessError:
        print("The program that counts has failed; what it says stands above.", file=sys.stderr)
        return 1


def _show(options: argparse.Namespace) -> int:
    if options.functions:
        _print_functions(functions(options.memo))
        return 0
    measured = measure(options.memo)
    if why := callgrind.why_not():
        print(why, file=sys.stderr)
    else:
        counted = instructions(options.memo, options.requests)
        measured = {scenario: counted[scenario] | counts for scenario, counts in measured.items()}
    before = known() or {"build": "", "figures": {}}
    _print(measured, before["figures"])
    if before["build"] not in ("", build()):
        print(f"The known instructions are those of another build: {before['build']}")
    if options.json:
        options.json.write_text(json.dumps(measured, indent=1) + "\n")
    if options.update:
        _update(measured)
    return 0


if __name__ == "__main__":
    sys.exit(main())
