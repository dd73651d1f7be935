"""Rows of the scoreboard: kept through changes, given back only when nothing can be counted on them any more."""

from __future__ import annotations

from gateway.control.rows import SETTLE_SECONDS, Rows


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def serve(rows: Rows, name: str, spec):
    assignment = rows.assign(name, spec)
    rows.keep(name, assignment, spec)
    return assignment


async def test_row_is_not_released_while_requests_may_use_it(board, make_spec) -> None:
    """A dropped backend's row outlives its last outstanding request and the longest wait in its queue."""
    clock = Clock()
    rows = Rows(board, clock)
    (row,) = serve(rows, "one", make_spec(max_queue_wait_ms=3000)).rows.values()
    rows.drop("one")
    clock.now += SETTLE_SECONDS + 2.9
    rows.release_idle()
    assert row in board.owners
    clock.now += 0.2
    board.busy[row] = 1
    rows.release_idle()
    assert row in board.owners
    board.busy[row] = 0
    rows.release_idle()
    assert row not in board.owners


async def test_backend_that_comes_back_keeps_its_row(board, make_spec) -> None:
    """A retiring row that its backend needs again is not released under it."""
    clock = Clock()
    rows = Rows(board, clock)
    (row,) = serve(rows, "one", make_spec()).rows.values()
    rows.drop("one")
    assert list(serve(rows, "one", make_spec()).rows.values()) == [row]
    clock.now += 100
    rows.release_idle()
    assert row in board.owners


async def test_discarded_assignment_gives_its_rows_back(board, make_spec) -> None:
    """Rows lent for a change that came to nothing are free again; those in use stay."""
    clock = Clock()
    rows = Rows(board, clock)
    kept = serve(rows, "one", make_spec(backends=("http://a:1",)))
    rows.discard(rows.assign("one", make_spec(backends=("http://a:1", "http://b:1"))))
    clock.now += 100
    rows.release_idle()
    assert set(board.owners) == set(kept.rows.values())
