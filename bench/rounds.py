"""One measurement of one server, and its repetition when others took the cores meanwhile."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench import account
from bench.load import Figures, Load
from bench.machine import Cores, Disturbance, Watch
from bench.peers.peer import Running

MAX_REPEATS = 3
"""How often a disturbed round is measured again; then the calmest of them counts, and the report says so."""
IDLE_SHARE = 0.05
"""Servers that use less than this of a core have tidied up after the round before."""
MOST_PATIENCE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Round:
    """One measurement of one contestant."""

    figures: Figures
    disturbance: Disturbance

    def __str__(self) -> str:
        """For whoever watches."""
        names = ("cpu_us", "per_second", "mean_ms", "p99_ms", "connection_kib")
        shown = [f"{self.figures[name]:.1f} {name}" for name in names if name in self.figures]
        took = self.disturbance
        calm = "" if took.is_calm else f"; {took.stolen:.0%} stolen, {took.foreign:.0%} taken by other processes"
        return ", ".join(shown) + calm


def calm_round(running: Running, load: Load, cores: Cores, seconds: float) -> Round:
    """A round that nobody disturbed, else the calmest of MAX_REPEATS more. Raises RuntimeError as the load does."""
    tries: list[Round] = []
    while len(tries) <= MAX_REPEATS:
        tries.append(_round(running, load, cores, seconds))
        if tries[-1].disturbance.is_calm or not load.is_timed:
            return tries[-1]
    return min(tries, key=lambda one: max(one.disturbance.stolen, one.disturbance.foreign))


def settle(servers: Sequence[Running], window: float = 0.2) -> None:
    """Wait until all servers are idle: what one still tidies up would be missing on the core of the next."""
    pids = [pid for running in servers for pid in account.tree(running.pid)]
    end = time.monotonic() + MOST_PATIENCE_SECONDS
    used = account.cpu_seconds(pids)
    while time.monotonic() < end:
        time.sleep(window)
        before, used = used, account.cpu_seconds(pids)
        if used - before < IDLE_SHARE * window:
            return


def _round(running: Running, load: Load, cores: Cores, seconds: float) -> Round:
    pids = account.tree(running.pid)
    watch = Watch(cores.all)
    before = account.cpu_seconds(pids)
    figures = load(running, cores, seconds)
    used = account.cpu_seconds(pids) - before
    disturbance = watch.disturbance()
    if figures.get("requests") == 0:
        raise RuntimeError(f"{running.name} answered nothing in {seconds:g} s")
    if running.pid:
        figures |= {"memory_mib": account.memory_bytes(pids) / 2**20}
        if "requests" in figures:
            figures |= {"cpu_us": used / figures["requests"] * 1e6, "per_core": figures["requests"] / used}
    return Round(figures, disturbance)
