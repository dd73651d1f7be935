"""Which row of the scoreboard belongs to which backend, and when a row may serve another.

A backend keeps its row through changes of its service. A row that is no longer needed is given back only when no
request can still be counted on it: not before the longest wait in the old queue is over, and with nothing outstanding.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gateway.control.refusal import Refused
from gateway.core.scoreboard import HealthBoard
from gateway.core.snapshot import BackendEntry, DeploymentEntry
from gateway.core.spec import ServiceSpec

SETTLE_SECONDS = 1.0

Backend = tuple[str, str, str]
"""(deployment, URL, address); no address where the URL's host is connected to by itself."""

Addresses = Callable[[str], tuple[str, ...]]
"""URL → the IP addresses its host leads to; none: connect to the host itself."""


def unresolved(_url: str) -> tuple[str, ...]:
    """The Addresses of one who resolves nothing."""
    return ()


@dataclass(frozen=True, slots=True)
class Assignment:
    """The rows a service is going to have, and which of them were lent for it."""

    deployments: tuple[DeploymentEntry, ...]
    rows: dict[Backend, int]
    lent: tuple[int, ...]


class Rows:
    """The control process's book of rows."""

    def __init__(self, board: HealthBoard, clock: Callable[[], float] = time.monotonic) -> None:
        self._board = board
        self._clock = clock
        self._rows: dict[str, dict[Backend, int]] = {}
        self._waits: dict[str, float] = {}
        self._retiring: list[tuple[int, float]] = []

    def assign(self, name: str, spec: ServiceSpec, addresses: Addresses = unresolved) -> Assignment:
        """Rows for this spec: those it has, and new ones. Must be followed by `keep` or `discard`."""
        self.release_idle()
        known = self._rows.get(name, {})
        rows: dict[Backend, int] = {}
        lent: list[int] = []
        for deployment, asked in spec.deployed.items():
            for url in asked.backends:
                for address in addresses(url) or ("",):
                    backend = (deployment, url, address)
                    rows[backend] = known[backend] if backend in known else self._lend(name, backend, lent)
        return Assignment(_deployments(spec, rows), rows, tuple(lent))

    def keep(self, name: str, assignment: Assignment, spec: ServiceSpec) -> None:
        """The assignment is served now: rows that only the one before needed retire."""
        self._retire(name, set(assignment.rows.values()))
        self._rows[name] = assignment.rows
        self._waits[name] = spec.max_queue_wait_ms / 1000

    def discard(self, assignment: Assignment) -> None:
        """The assignment came to nothing."""
        self._give_up(assignment.lent)

    def drop(self, name: str) -> None:
        """The service is gone."""
        self._retire(name, set())
        self._rows.pop(name, None)
        self._waits.pop(name, None)

    def release_idle(self) -> None:
        """Give back the retiring rows on which nothing can be counted any more."""
        now = self._clock()
        waiting = []
        for row, earliest in self._retiring:
            if now >= earliest and self._board.outstanding(row) == 0:
                self._board.release_row(row)
            else:
                waiting.append((row, earliest))
        self._retiring = waiting

    def _retire(self, name: str, needed: set[int]) -> None:
        earliest = self._clock() + self._waits.get(name, 0.0) + SETTLE_SECONDS
        self._retiring += [(row, earliest) for row in self._rows.get(name, {}).values() if row not in needed]

    def _lend(self, name: str, backend: Backend, lent: list[int]) -> int:
        """A row; if the backend had one that is still retiring, the board lends that again and it retires no more."""
        try:
            row = self._board.lend_row(" ".join((name, *filter(None, backend))))
        except RuntimeError:
            self._give_up(lent)
            raise Refused(503, "All rows of the scoreboard are taken: delete services or backends first.") from None
        self._retiring = [(other, earliest) for other, earliest in self._retiring if other != row]
        lent.append(row)
        return row

    def _give_up(self, lent: Iterable[int]) -> None:
        self._retiring += [(row, self._clock() + SETTLE_SECONDS) for row in lent]


def _deployments(spec: ServiceSpec, rows: dict[Backend, int]) -> tuple[DeploymentEntry, ...]:
    backends: dict[str, list[BackendEntry]] = {}
    for (deployment, url, address), row in rows.items():
        backends.setdefault(deployment, []).append(BackendEntry(url, row, address))
    return tuple(DeploymentEntry(name, asked.traffic, tuple(backends[name])) for name, asked in spec.deployed.items())
