"""Shared memory of real processes: never one permit too many, nothing lost with a dead worker, rows that stay."""

from __future__ import annotations

import os
import select

import pytest

from gateway.core.admission import Board
from gateway.core.ejection import EJECTED, IN
from gateway.core.scoreboard import HealthBoard
from gateway.proxy import scoreboard as module
from gateway.proxy.scoreboard import DRAINING, READY, STARTING, Scoreboard, Seat


@pytest.fixture
def make_board():
    boards = []

    def make(workers: int) -> Scoreboard:
        board = Scoreboard(workers)
        boards.append(board)
        return board

    yield make
    for board in boards:
        for wakeup in board.wakeups:
            os.close(wakeup)
        board.locks._file.close()


def is_woken(seat: Seat) -> bool:
    """Whether the worker was woken since it was last asked."""
    readable, _, _ = select.select([seat.wakeup], [], [], 0)
    if readable:
        os.eventfd_read(seat.wakeup)
    return bool(readable)


def test_seats_fulfil_the_protocols() -> None:
    """What the control process and the workers are promised is there."""
    for protocol in (Board, HealthBoard):
        names = [name for name in vars(protocol) if not name.startswith("_")]
        assert names
        assert all(hasattr(Seat, name) for name in names)


@pytest.mark.parametrize("workers", [1, 2])
def test_limit(make_board, workers: int) -> None:
    """All workers together have no more than the limit; what one gives back another may take."""
    board = make_board(workers)
    seats = [board.seat(number) for number in range(1, workers + 1)]
    one, last = seats[0], seats[-1]
    assert [one.take(5, 2), last.take(5, 2), one.take(5, 2)] == [True, True, False]
    assert one.outstanding(5) == board.seat(0).outstanding(5) == 2
    assert one.outstanding(6) == 0
    last.give_back(5)
    assert one.take(5, 2)
    assert one.take(5, None)
    assert one.outstanding(5) == 3


def test_nothing_is_given_back_twice(make_board) -> None:
    """A permit given back that was never taken is an error, not a huge number."""
    with pytest.raises((OverflowError, ValueError)):
        make_board(2).seat(1).give_back(5)


def test_lock_that_cannot_be_had(make_board, monkeypatch) -> None:
    """Where the lock's holder is stopped, no permit is given: too few is right, too many is not."""
    board = make_board(2)
    monkeypatch.setattr(type(board.locks), "acquire", lambda *_: False)
    assert not board.seat(1).take(5, 2)
    assert board.seat(1).outstanding(5) == 0


def test_poke_goes_round(make_board) -> None:
    """A freed permit wakes one other worker that waits for it, not always the same, and never the one who frees it."""
    board = make_board(3)
    one, two, three = (board.seat(number) for number in (1, 2, 3))
    assert not one.poke(5)
    for seat in (one, two, three):
        seat.set_waiting(5, waiting=True)
    assert one.poke(5)
    assert [is_woken(seat) for seat in (one, two, three)] == [False, True, False]
    assert two.poke(5)
    assert [is_woken(seat) for seat in (one, two, three)] == [False, False, True]
    three.set_waiting(5, waiting=False)
    assert two.poke(5)
    assert [is_woken(seat) for seat in (one, two, three)] == [True, False, False]


@pytest.mark.parametrize("workers", [1, 2])
def test_health(make_board, workers: int) -> None:
    """A backend is healthy until probed otherwise; every worker hears of each change, a lone one too, and once."""
    board = make_board(workers)
    control, seats = board.seat(0), [board.seat(number) for number in range(1, workers + 1)]
    assert control.healthy(5)
    control.set_healthy(5, healthy=True)
    control.set_healthy(5, healthy=False)
    assert not seats[0].healthy(5)
    assert all(map(is_woken, seats))
    control.set_healthy(5, healthy=False)
    assert not any(map(is_woken, seats))
    control.set_healthy(5, healthy=True)
    assert seats[0].healthy(5)
    assert all(map(is_woken, seats))
    assert not is_woken(control)


def test_good_answers_are_counted_and_others_are_not(make_board) -> None:
    """What stands for a good probe is an answer, not that a request came back; and who failed before is told."""
    board = make_board(2)
    one, two = board.seat(1), board.seat(2)
    one.take(5, None)
    one.give_back(5)
    assert board.seat(0).served(5) == 0
    assert not one.succeeded(5)
    two.set_failures(5, 1)
    assert one.succeeded(5)
    assert board.seat(0).served(5) == 2


def test_nothing_against_it_in_one_look(make_board) -> None:
    """Probes and workers write bytes of their own into one word: neither wipes out what the other says."""
    board = make_board(2)
    control, worker = board.seat(0), board.seat(1)
    assert worker.is_well(5)
    worker.put(5, EJECTED, 1.0, 2.0)
    control.set_healthy(5, healthy=False)
    assert (worker.is_well(5), worker.healthy(5), control.standing(5)) == (False, False, EJECTED)
    control.set_healthy(5, healthy=True)
    assert (worker.is_well(5), worker.healthy(5), control.standing(5)) == (False, True, EJECTED)
    worker.put(5, IN, 3.0, 0.0)
    assert worker.is_well(5)
    assert worker.is_well(4)
    assert worker.is_well(6)


def test_a_suspect_wakes_the_control_process(make_board) -> None:
    """It alone: the workers have nothing to do. And a changed standing wakes the workers alone."""
    board = make_board(2)
    seats = [board.seat(number) for number in (0, 1, 2)]
    seats[1].hurry_probe()
    assert list(map(is_woken, seats)) == [True, False, False]
    seats[1].wake_all()
    assert list(map(is_woken, seats)) == [False, True, True]


def test_a_new_owner_begins_anew(make_board, monkeypatch) -> None:
    """A row that is lent to another backend says nothing of the one before; to the same one it says all."""
    monkeypatch.setattr(module, "MAX_ROWS", 1)
    board = make_board(1)
    control, worker = board.seat(0), board.seat(1)
    row = control.lend_row("a")
    worker.put(row, EJECTED, 1.0, 2.0)
    worker.set_failures(row, 5)
    worker.set_ejections(row, 3)
    assert control.lend_row("a") == row
    assert control.standing(row) == EJECTED
    control.release_row(row)
    assert control.lend_row("b") == row
    assert (control.standing(row), worker.failures(row), worker.ejections(row), worker.until(row)) == (IN, 0, 0, 0.0)


def test_heartbeat_and_state(make_board) -> None:
    """Silence is counted from the last beat, and not before the first."""
    board = make_board(2)
    seat = board.seat(2)
    assert (board.silence(2), board.state(2)) == (0.0, STARTING)
    seat.beat()
    seat.set_state(READY)
    assert 0.0 <= board.silence(2) < 1.0
    assert board.state(2) == READY
    seat.set_state(DRAINING)
    board.vacate(2)
    assert (board.silence(2), board.state(2)) == (0.0, STARTING)


def test_no_wakeups_where_there_are_no_eventfds(monkeypatch) -> None:
    """On a platform without eventfd a lone worker does without."""
    monkeypatch.setattr("gateway.proxy.scoreboard.sys.platform", "darwin")
    board = Scoreboard(1)
    board.seat(0).set_healthy(5, healthy=False)
    board.seat(0).set_healthy(5, healthy=True)
    board.seat(1).hurry_probe()
    assert board.seat(1).wakeup is None
    board.locks._file.close()


def test_rows(make_board) -> None:
    """The same owner has the same row, also for a control process that starts again; others have others."""
    board = make_board(2)
    first, again = board.seat(0), board.seat(0)
    rows = {owner: first.lend_row(owner) for owner in ("a", "b", "c")}
    assert len(set(rows.values())) == 3
    assert {owner: again.lend_row(owner) for owner in rows} == rows
    first.set_healthy(rows["a"], healthy=False)
    first.release_row(rows["a"])
    assert again.lend_row("a") == rows["a"]
    assert again.healthy(rows["a"])


def test_rows_of_neighbours(make_board, monkeypatch) -> None:
    """Owners whose rows collide keep theirs when one between them leaves."""
    monkeypatch.setattr(module, "MAX_ROWS", 4)
    board = make_board(1)
    control = board.seat(0)
    rows = {owner: control.lend_row(owner) for owner in "abcd"}
    assert sorted(rows.values()) == [0, 1, 2, 3]
    control.release_row(rows["a"])
    for owner in "bcd":
        assert control.lend_row(owner) == rows[owner]
    assert control.lend_row("e") == rows["a"]
    with pytest.raises(RuntimeError, match="all 4 rows of the scoreboard are lent: too many backends"):
        control.lend_row("f")


def test_row_with_requests_is_not_lent(make_board, monkeypatch) -> None:
    """A row that was released while requests were counted on it goes to nobody else until they have ended."""
    monkeypatch.setattr(module, "MAX_ROWS", 2)
    board = make_board(1)
    control, worker = board.seat(0), board.seat(1)
    row = control.lend_row("a")
    other = control.lend_row("b")
    worker.take(row, None)
    control.release_row(row)
    with pytest.raises(RuntimeError):
        control.lend_row("c")
    worker.give_back(row)
    assert control.lend_row("c") == row != other


def test_vacate_returns_only_what_was_the_dead_ones(make_board) -> None:
    """The share of a worker that died is free again, that of the others is not, and all who wait are woken."""
    board = make_board(3)
    seats = [board.seat(number) for number in (1, 2, 3)]
    row = board.seat(0).lend_row("a")
    for seat in seats:
        assert seat.take(row, 3)
    unlent = row + 1
    seats[1].take(unlent, None)
    seats[1].set_waiting(row, waiting=True)
    board.vacate(2)
    assert seats[0].outstanding(row) == 2
    assert seats[0].outstanding(unlent) == 0
    assert not seats[0].poke(row)
    assert all(map(is_woken, seats))
    assert seats[2].take(row, 3)


def test_vacate_of_the_control_process(make_board) -> None:
    """The control process holds no permits: its end gives none back."""
    board = make_board(2)
    board.seat(1).take(5, None)
    board.seat(0).beat()
    board.vacate(0)
    assert board.seat(1).outstanding(5) == 1
    assert board.silence(0) == 0.0


RACE = """
import json, mmap, os, struct, sys, time
from gateway.proxy import scoreboard
from gateway.proxy.scoreboard import Scoreboard, Seat

WORKERS, LIMIT, ROUNDS = 4, {limit}, {rounds}

class Broken(Seat):
    __slots__ = ()
    def take(self, row, limit):
        if self.outstanding(row) >= limit:
            return False
        os.sched_yield()
        self._rows[row * self._stride + self._columns] += 1
        return True

board = Scoreboard(WORKERS)
pipes = []
for number in range(1, WORKERS + 1):
    pipes.append(os.pipe())
    if os.fork() == 0:
        seat, held = {kind}(board, number), []
        while len(held) < ROUNDS:
            if seat.take(9, LIMIT):
                began = time.monotonic_ns()
                os.sched_yield()
                held.append((began, time.monotonic_ns()))
                seat.give_back(9)
        with os.fdopen(pipes[-1][1], "w") as out:
            json.dump(held, out)
        os._exit(0)
    os.close(pipes[-1][1])
held = [pair for reading, _ in pipes for pair in json.load(os.fdopen(reading))]
for _ in pipes:
    assert os.wait()[1] == 0
moments = sorted([(end, 0, -1) for _, end in held] + [(begin, 1, 1) for begin, _ in held])
now = most = 0
for _, _, change in moments:
    now += change
    most = max(most, now)
print(json.dumps([most, board.seat(0).outstanding(9), len(held)]))
"""


@pytest.mark.parametrize("limit", [1, 3])
def test_four_processes_never_exceed_a_limit(run_script, limit: int) -> None:
    """Four processes that take and give back as fast as they can never hold more than the limit at any moment."""
    most, left, taken = run_script(RACE.format(limit=limit, kind="Seat", rounds=500), timeout=60)
    assert (most, left, taken) == (limit, 0, 2000)


def test_control_without_the_lock_the_limit_is_exceeded(run_script) -> None:
    """Control: the same game without the lock holds more at some moment than it may."""
    most, _, _ = run_script(RACE.format(limit=1, kind="Broken", rounds=200), timeout=60)
    assert most > 1


def test_dead_worker_gives_its_share_back(run_script) -> None:
    """A worker that is killed with permits in hand, and in the middle of taking one, blocks nobody."""
    said = run_script("""
        import json, os, signal
        from gateway.proxy.scoreboard import Scoreboard

        board, ready = Scoreboard(2), os.pipe()
        row = board.seat(0).lend_row("a")
        worker = os.fork()
        if worker == 0:
            seat = board.seat(1)
            assert seat.take(row, 2) and seat.take(row, 2)
            board.locks.acquire(row)
            os.write(ready[1], b"x")
            signal.pause()
        os.read(ready[0], 1)
        other = board.seat(2)
        before = other.take(row, 2)
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)
        full = other.take(row, 2)
        board.vacate(1)
        after = [other.take(row, 2), other.take(row, 2), other.take(row, 2)]
        print(json.dumps([before, full, after]))
    """)
    assert said == [False, False, [True, True, False]]
