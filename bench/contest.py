"""Interleaved rounds: A B C, A B C, … of servers that run side by side, one measured at a time."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from http.client import HTTPException
from pathlib import Path

from bench.load import Load
from bench.peers.peer import Peer, Running, Setting
from bench.request import check
from bench.rounds import Round, calm_round, settle

WARM_UP_SECONDS = 1.0
MOST_WARM_UPS = 30
MOST_LOG_BYTES = 65_536

FAILURES = (RuntimeError, OSError, HTTPException, subprocess.SubprocessError)

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Contestant:
    """A line of a scenario's table: who, set up how, under which load, and the line that it is compared with."""

    label: str
    peer: Peer
    setting: Setting
    load: Load
    against: str = "nginx"


@dataclass(frozen=True, slots=True)
class Outcome:
    """All rounds of a scenario, by label; `failed`: why a contestant has none, or no more.

    `complaints`: the last line of a server's log, if it wrote much: what it answered may not be all that it did.
    """

    rounds: dict[str, list[Round]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    complaints: dict[str, str] = field(default_factory=dict)


class Contest:
    """One scenario while it runs. A contestant that fails drops out; the others go on. `outcome` grows meanwhile."""

    def __init__(self, contestants: Sequence[Contestant], folder: Path, tell: Tell) -> None:
        """`folder`: where servers keep their files; `tell` hears how it goes."""
        self._contestants = contestants
        self._folder = folder
        self._tell = tell
        self._stack = ExitStack()
        self._servers: dict[tuple[str, Setting], Running] = {}
        self.outcome = Outcome()

    def hold(self, rounds: int, seconds: float) -> None:
        """Start every server once, warm it up, measure `rounds` rounds of `seconds`, end them all."""
        with self._stack:
            for contestant in self._contestants:
                self._try(contestant, self._prepare)
            for number in range(1, rounds + 1):
                for contestant in self._contestants:
                    if contestant.label not in self.outcome.failed:
                        self._try(contestant, partial(self._measure, number=number, seconds=seconds))
        for contestant in self._contestants:
            self._listen(contestant)

    def _listen(self, contestant: Contestant) -> None:
        log = self._home(contestant) / "log"
        if log.exists() and log.stat().st_size > MOST_LOG_BYTES:
            last = log.read_text(encoding="utf-8", errors="replace")[-MOST_LOG_BYTES:].rstrip().rpartition("\n")[2]
            self.outcome.complaints[contestant.label] = last
            self._tell(f"  {contestant.label} wrote {log.stat().st_size:,} bytes of log, at last: {last[:500]}")

    def _home(self, contestant: Contestant) -> Path:
        return self._folder / re.sub("[^a-z0-9]+", "-", contestant.label.lower())

    def _try(self, contestant: Contestant, step: Callable[[Contestant], None]) -> None:
        try:
            step(contestant)
        except FAILURES as error:
            self.outcome.failed[contestant.label] = str(error)
            self._tell(f"  {contestant.label}: {error}")

    def _prepare(self, contestant: Contestant) -> None:
        running = self._server(contestant)
        self._stack.callback(contestant.load.close)
        check(running, contestant.load.request)
        self._warm_up(contestant, running)

    def _warm_up(self, contestant: Contestant, running: Running) -> None:
        """Until something was answered, and every service was asked once: its first request has to connect."""
        done, load = 0.0, contestant.load
        for _ in range(MOST_WARM_UPS):
            done += load(running, contestant.setting.cores, WARM_UP_SECONDS).get("requests", load.request.services)
            if done >= load.request.services:
                return

    def _measure(self, contestant: Contestant, number: int, seconds: float) -> None:
        settle(list(self._servers.values()))
        one = calm_round(self._server(contestant), contestant.load, contestant.setting.cores, seconds)
        self.outcome.rounds.setdefault(contestant.label, []).append(one)
        self._tell(f"  round {number}: {contestant.label}: {one}")

    def _server(self, contestant: Contestant) -> Running:
        """Lines with the same peer and setting share one."""
        key = (contestant.peer.name, contestant.setting)
        if key not in self._servers:
            home = self._home(contestant)
            home.mkdir()
            self._servers[key] = self._stack.enter_context(contestant.peer.start(contestant.setting, home))
        return replace(self._servers[key], name=contestant.label)
