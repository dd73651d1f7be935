"""`make bench`: interleaved rounds of the gateway and nginx on one core, the load on the other; medians and ratios.

Needs wrk and nginx (Debian: apt-get install wrk nginx-light) and two cores. A round in which more than 8 % of the CPU
time was stolen by the machine below is repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import peers
from bench.peers import Running

TICKS = os.sysconf("SC_CLK_TCK")
MAX_STOLEN = 0.08
MAX_REPEATS = 3
DOCUMENT = json.dumps({"data": [[0.0199132141783263] * 10, [-0.044641636506989] * 10]})
"""Two rows of ten numbers, about 420 bytes."""


@dataclass(frozen=True, slots=True)
class Round:
    """One measurement: requests done, CPU microseconds of the proxy for each, requests a second."""

    requests: int
    cpu_us: float
    per_second: float


def main() -> int:
    """Measure, print a table, write JSON."""
    options = _options()
    if shutil.which("wrk") is None or not peers.has_nginx() or (os.cpu_count() or 1) < 2:
        print("make bench needs wrk, nginx and two cores. Debian: apt-get install wrk nginx-light", file=sys.stderr)
        return 1
    results = {}
    for tls in (False, True):
        for heads in ("different", "repeated"):
            results[f"{'TLS' if tls else 'plain'}, {heads} heads"] = _scenario(options, heads, tls=tls)
    _print(results)
    Path("bench/results").mkdir(exist_ok=True)
    told = {
        name: {peer: [asdict(one) for one in rounds] for peer, rounds in by.items()} for name, by in results.items()
    }
    Path("bench/results/latest.json").write_text(json.dumps(told))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--connections", type=int, default=64)
    return parser.parse_args()


def _scenario(options: argparse.Namespace, heads: str, *, tls: bool) -> dict[str, list[Round]]:
    rounds: dict[str, list[Round]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name in ("gateway", "nginx"):
            (folder / name).mkdir()
        port = stack.enter_context(peers.backend())
        ours = stack.enter_context(peers.gateway(folder / "gateway", port, tls=tls))
        certificates = folder / "gateway" / "var" / "tls"
        theirs = stack.enter_context(peers.nginx(folder / "nginx", port, tls=tls, certificates=certificates))
        for _ in range(options.rounds):
            for running in (ours, theirs):
                rounds.setdefault(running.name, []).append(_calm_round(running, options, heads))
    return rounds


def _calm_round(running: Running, options: argparse.Namespace, heads: str) -> Round:
    for _ in range(MAX_REPEATS):
        before = _stolen()
        result = _round(running, options, heads)
        if _stolen() - before < MAX_STOLEN * options.seconds * (os.cpu_count() or 1):
            break
    return result


def _round(running: Running, options: argparse.Namespace, heads: str) -> Round:
    environment = os.environ | {"BENCH_KEY": running.key, "BENCH_BODY": DOCUMENT, "BENCH_HEADS": heads}
    command = ["taskset", "-c", peers.LOAD_CORE, "wrk", "-t1", f"-c{options.connections}", f"-d{options.seconds}"]
    before = _cpu_seconds(running.pids)
    text = subprocess.check_output([*command, "-s", "bench/load.lua", running.url], env=environment, text=True)
    used = _cpu_seconds(running.pids) - before
    if "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(f"{running.name} answered some requests with errors:\n{text}")
    requests = int(re.search(r"(\d+) requests in", text)[1])  # type: ignore[index]
    per_second = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])  # type: ignore[index]
    return Round(requests, used / requests * 1e6, per_second)


def _cpu_seconds(pids: tuple[int, ...]) -> float:
    """User and system time of these processes."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for pid in pids]
    return sum(int(one[11]) + int(one[12]) for one in fields) / TICKS


def _stolen() -> float:
    return int(Path("/proc/stat").read_text().splitlines()[0].split()[8]) / TICKS


def _print(results: dict[str, dict[str, list[Round]]]) -> None:
    print(f"{'scenario':28} {'scoregate µs':>13} {'nginx µs':>9} {'ratio':>6} {'min..max':>12} {'scoregate/s':>12}")
    for name, by_peer in results.items():
        ours, theirs = by_peer["scoregate"], by_peer["nginx"]
        ratios = [our.cpu_us / their.cpu_us for our, their in zip(ours, theirs, strict=True)]
        print(
            f"{name:28} {statistics.median(one.cpu_us for one in ours):13.1f}"
            f" {statistics.median(one.cpu_us for one in theirs):9.1f} {statistics.median(ratios):6.2f}"
            f" {min(ratios):5.2f}..{max(ratios):.2f} {statistics.median(one.per_second for one in ours):12.0f}"
        )


if __name__ == "__main__":
    sys.exit(main())
