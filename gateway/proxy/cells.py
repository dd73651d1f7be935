"""Rate-limit cells in shared memory: `core.gcra.Cells` for all workers of the gateway.

A cell is (key, TAT). Keys are spread over buckets of eight cells, each bucket changed under its own lock.
"""

from __future__ import annotations

from gateway.core import gcra
from gateway.core.gcra import Limit
from gateway.proxy.scoreboard import BUCKETS, CELL_LOCKS, CELLS_PER_BUCKET, Scoreboard

_WORDS = 2


class SharedCells:
    """The cells as every worker sees them. A lone worker needs no lock."""

    __slots__ = ("_keys", "_locks", "_tats")

    def __init__(self, board: Scoreboard) -> None:
        self._keys = board.cell_keys
        self._tats = board.cell_tats
        self._locks = board.locks if board.workers > 1 else None

    def admit(self, key: int, now: float, limit: Limit) -> float:
        """Count a request: 0.0 if it is within the limit, else the seconds to wait.

        If the lock cannot be had (its holder was stopped), the request is counted all the same, and a count of another
        worker in that moment may be lost: a limit must become neither an outage nor an open door.
        """
        is_locked = self._locks is not None and self._lock(key)
        try:
            tat = self._cell(key, now) + 1
            self._tats[tat], wait = gcra.admit(self._tats[tat], now, limit)
            return wait
        finally:
            if is_locked:
                self._unlock(key)

    def refund(self, key: int, limit: Limit) -> None:
        """Take back one request that was counted and then refused by another limit."""
        is_locked = self._lock(key)
        try:
            cell = self._find(key)
            if cell is not None:
                self._tats[cell + 1] -= limit.cost
        finally:
            if is_locked:
                self._unlock(key)

    def _lock(self, key: int) -> bool:
        return self._locks is not None and self._locks.acquire(CELL_LOCKS + key % BUCKETS)

    def _unlock(self, key: int) -> None:
        assert self._locks is not None
        self._locks.release(CELL_LOCKS + key % BUCKETS)

    def _cell(self, key: int, now: float) -> int:
        """Index of the cell of `key`: its own, else the one whose time passes, or has passed, first.

        A debt is forgotten only when more keys than a bucket has cells are in debt at once.
        """
        cell = self._find(key)
        if cell is None:
            cell = min(_bucket(key), key=lambda index: self._tats[index + 1])
            self._keys[cell] = key
            self._tats[cell + 1] = now
        return cell

    def _find(self, key: int) -> int | None:
        keys = self._keys
        for cell in _bucket(key):
            if keys[cell] == key:
                return cell
        return None


def _bucket(key: int) -> range:
    """Indices of the cells in which the key may be."""
    start = (key % BUCKETS) * CELLS_PER_BUCKET * _WORDS
    return range(start, start + CELLS_PER_BUCKET * _WORDS, _WORDS)
