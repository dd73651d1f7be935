"""Which backends are left out because they fail real requests: passive ejection, the trial before a return, suspicion.

Pure decisions over `Standings`, which all workers share: a dead backend is found out once, and not by each worker anew.

    IN ──failures──► EJECTED ──time is over──► TRIAL: one request ──it succeeds──► IN
     ▲  ╲               ▲                        ╰──it fails──► EJECTED, for longer
     │   ╰─abandoned─► SUSPECT                   ╰──nothing is heard of it──► TRIAL again
     ╰──────time, a good probe or a good answer──╯

While a backend is EJECTED nothing changes that but time: requests that were there before say nothing new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from gateway.core.spec import EjectionSpec

if TYPE_CHECKING:
    from gateway.core.admission import Backend

IN, SUSPECT, EJECTED, TRIAL = range(4)
OUT = (EJECTED, TRIAL)

GATEWAY_FAILURES = frozenset({502, 503, 504})
"""Answers that say that the model was not reached. A 500 is the model's own: the fault may lie in what it was asked."""
MOST_TIMES = 10
"""A backend that is ejected again and again is out for `seconds` times the number of times, up to this."""
SUSPECT_SECONDS = 10.0
TRIAL_SECONDS = 10.0
"""So long all others wait for the result of a trial. Its request may be gone with its worker or its client."""


class Standings(Protocol):
    """What all workers know of the backends on their rows. Plain columns: hints, but for `exclusively`."""

    def standing(self, row: int) -> int:
        """IN, SUSPECT, EJECTED or TRIAL."""

    def since(self, row: int) -> float:
        """When the backend got that standing (monotonic seconds); 0.0: it always had it."""

    def until(self, row: int) -> float:
        """When that standing may change by itself (monotonic seconds)."""

    def put(self, row: int, standing: int, since: float, until: float) -> None:
        """Give a backend this standing."""

    def failures(self, row: int) -> int:
        """Failures in a row."""

    def set_failures(self, row: int, count: int) -> None:
        """Failures in a row."""

    def ejections(self, row: int) -> int:
        """How often it was ejected, less what was forgiven since."""

    def set_ejections(self, row: int, count: int) -> None:
        """How often it was ejected."""

    def exclusively(self, row: int, act: Callable[[], bool]) -> bool:
        """The result of `act` while no other worker does anything for this row; False if that could not be had."""

    def hurry_probe(self) -> None:
        """Have the control process look at suspects now."""


class Ejection:
    """The rules of one deployment, over the rows of its backends."""

    __slots__ = ("_board", "_most", "_rows", "_spec")

    def __init__(self, spec: EjectionSpec | None, rows: Iterable[int], board: Standings) -> None:
        """`spec` None: nobody is ejected. Nor is the only backend there is; who was comes back at once."""
        self._rows = tuple(rows)
        self._board = board
        self._spec = spec if len(self._rows) > 1 else None
        self._most = 0 if spec is None else len(self._rows) * spec.max_percent // 100
        if self._spec is None:
            for row in self._out():
                board.put(row, IN, 0.0, 0.0)

    def failed(self, row: int, now: float) -> float:
        """Count a failure. Seconds for which the backend is ejected for it; 0.0 if it is not."""
        board, spec = self._board, self._spec
        standing = board.standing(row)
        if standing == EJECTED:
            return 0.0
        failures = board.failures(row) + 1
        board.set_failures(row, failures)
        if spec is None or (standing != TRIAL and failures < spec.consecutive_failures):
            return 0.0
        times = min(board.ejections(row) + 1, MOST_TIMES)
        if standing == IN:
            # Each time that it could have been out and was not makes up for one ejection.
            times = max(1, times - int((now - board.since(row)) / spec.seconds))
        seconds = times * spec.seconds
        is_ejected = board.exclusively(self._rows[0], lambda: self._eject(row, times, now, seconds))
        return seconds if is_ejected else 0.0

    def suspect(self, row: int, now: float) -> float:
        """A request was given up there, and it may still be at work. Seconds for which it is avoided."""
        if self._board.standing(row) in OUT:
            return 0.0
        self._board.put(row, SUSPECT, now, now + SUSPECT_SECONDS)
        self._board.hurry_probe()
        return SUSPECT_SECONDS

    def forgive(self, row: int, now: float) -> bool:
        """A good answer came from a backend that had failed. Whether it is back for that."""
        board = self._board
        standing = board.standing(row)
        if standing == EJECTED:
            return False
        board.set_failures(row, 0)
        if standing == IN:
            return False
        board.put(row, IN, now, 0.0)
        return True

    def is_due(self, row: int, now: float) -> bool:
        """Whether the backend was out for long enough."""
        return self._board.standing(row) in OUT and self._board.until(row) <= now

    def begin_trial(self, row: int, now: float) -> bool:
        """Whether the caller's request is to be the trial of a backend that is due. One request of all workers is."""
        return self._board.exclusively(row, lambda: self._lend_trial(row, now))

    def put_off_trial(self, row: int, now: float) -> None:
        """The request could not go there: another one may."""
        self._board.put(row, EJECTED, self._board.since(row), now)

    def sift(self, usable: list[Backend], now: float) -> list[Backend]:
        """Of the backends that can be used, those that should be.

        When most of the deployment is ejected, the few others would not bear its load: then all are used; so are they
        when nobody else is left.
        """
        if 2 * len(self._out()) > len(self._rows):
            return usable
        inside = [backend for backend in usable if self._board.standing(backend.row) not in OUT]
        trusted = [backend for backend in inside if not self._is_suspect(backend.row, now)]
        return trusted or inside or usable

    def _out(self) -> Sequence[int]:
        return [row for row in self._rows if self._board.standing(row) in OUT]

    def _eject(self, row: int, times: int, now: float, seconds: float) -> bool:
        board = self._board
        if board.standing(row) == EJECTED or sum(other != row for other in self._out()) >= self._most:
            return False
        board.set_ejections(row, times)
        board.put(row, EJECTED, now, now + seconds)
        return True

    def _lend_trial(self, row: int, now: float) -> bool:
        if not self.is_due(row, now):
            return False
        self._board.put(row, TRIAL, self._board.since(row), now + TRIAL_SECONDS)
        return True

    def _is_suspect(self, row: int, now: float) -> bool:
        board = self._board
        if board.standing(row) != SUSPECT:
            return False
        if board.until(row) > now:
            return True
        board.put(row, IN, now, 0.0)
        return False
