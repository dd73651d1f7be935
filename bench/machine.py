"""The machine under the measurement: which cores do what, and whether somebody else used them meanwhile."""

from __future__ import annotations

import os
import platform
import resource
import time
from dataclasses import dataclass
from pathlib import Path

from bench import account

MAX_STOLEN = 0.08
"""Share of the cores' time that the machine below may take away before a round counts as disturbed."""
MAX_FOREIGN = 0.08
"""Share of the cores' time that processes which are not ours may use before a round counts as disturbed."""

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cores:
    """Who runs where. With two cores the backend shares the one of the load, and several workers share theirs."""

    proxy: frozenset[int]
    load: frozenset[int]
    backend: frozenset[int]

    @property
    def all(self) -> frozenset[int]:
        """Every core that a round uses."""
        return self.proxy | self.load | self.backend


def cores(workers: int = 1) -> Cores:
    """A plan for `workers` workers on the cores that this process may use: at least two."""
    own = sorted(os.sched_getaffinity(0))
    rest = own[:-1] if len(own) == 2 else own[:-2]
    return Cores(frozenset(rest[:workers]), frozenset(own[-1:]), frozenset(own[-2:-1] if len(own) > 2 else own[-1:]))


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What others took during a round, as shares of the time of the cores used."""

    stolen: float
    foreign: float

    @property
    def is_calm(self) -> bool:
        """Whether the round counts."""
        return self.stolen <= MAX_STOLEN and self.foreign <= MAX_FOREIGN


class Watch:
    """Counts from its making what the cores did, and how much of it was neither ours nor idle."""

    def __init__(self, watched: frozenset[int]) -> None:
        self._watched = watched
        self._busy, self._stolen = _core_seconds(watched)
        self._own = _own_seconds()
        self._started = time.monotonic()

    def disturbance(self) -> Disturbance:
        """What others took since then."""
        busy, stolen = _core_seconds(self._watched)
        available = (time.monotonic() - self._started) * len(self._watched)
        foreign = (busy - self._busy) - (_own_seconds() - self._own)
        return Disturbance((stolen - self._stolen) / available, max(0.0, foreign / available))


def describe() -> dict[str, str]:
    """What a reader must know to repeat a table."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    return {
        "processor": f"{model}, {len(os.sched_getaffinity(0))} cores",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }


def _core_seconds(watched: frozenset[int]) -> tuple[float, float]:
    """(busy, stolen) seconds of these cores since boot; interrupts are not counted as busy: they are nobody's."""
    busy = stolen = 0
    for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in watched:
            user, nice, system, *_ = ticks = [int(field) for field in fields]
            busy += user + nice + system
            stolen += ticks[7]
    return busy / _TICKS, stolen / _TICKS


def _own_seconds() -> float:
    """CPU seconds of this process, of what it started, and of what of that has ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return account.cpu_seconds(account.tree(os.getpid())) + ended.ru_utime + ended.ru_stime
