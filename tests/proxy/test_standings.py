"""Standings in shared memory: what one worker writes all read, and what must be done once is done once."""

from __future__ import annotations

import os

import pytest

from gateway.core.ejection import EJECTED, IN, SUSPECT
from gateway.proxy.scoreboard import Scoreboard


@pytest.fixture
def make_board():
    boards = []

    def make(workers: int) -> Scoreboard:
        boards.append(Scoreboard(workers))
        return boards[-1]

    yield make
    for board in boards:
        for wakeup in board.wakeups:
            os.close(wakeup)
        board.locks._file.close()


def test_all_see_what_one_writes(make_board) -> None:
    """Standing, times and counts of a backend are the same from every seat; other rows stay as they were."""
    board = make_board(3)
    one, other, control = board.seat(1), board.seat(3), board.seat(0)
    one.put(7, EJECTED, 12.5, 42.5)
    one.set_failures(7, 5)
    one.set_ejections(7, 2)
    assert (other.standing(7), other.since(7), other.until(7)) == (EJECTED, 12.5, 42.5)
    assert (other.failures(7), other.ejections(7)) == (5, 2)
    assert (control.standing(7), control.since(7)) == (EJECTED, 12.5)
    for row in (6, 8):
        assert (other.standing(row), other.since(row), other.until(row)) == (IN, 0.0, 0.0)
        assert (other.failures(row), other.ejections(row)) == (0, 0)


@pytest.mark.parametrize("workers", [1, 2])
def test_one_at_a_time(make_board, workers: int) -> None:
    """What is done exclusively has its result, and the lock is free again even if it raised."""
    seat = make_board(workers).seat(1)
    assert seat.exclusively(7, lambda: True)
    assert not seat.exclusively(7, lambda: False)
    with pytest.raises(ZeroDivisionError):
        seat.exclusively(7, lambda: bool(1 / 0))
    assert seat.exclusively(7, lambda: True)


def test_where_the_lock_cannot_be_had_nothing_is_done(make_board, monkeypatch) -> None:
    """Its holder was stopped: whoever comes does without."""
    board = make_board(2)
    monkeypatch.setattr(type(board.locks), "acquire", lambda *_: False)
    assert not board.seat(1).exclusively(7, lambda: True)


def test_a_good_probe_absolves_suspects_only(make_board) -> None:
    """Who is ejected fails what is asked of it, whatever its probes say."""
    seat = make_board(1).seat(0)
    seat.put(1, SUSPECT, 1.0, 11.0)
    seat.put(2, EJECTED, 1.0, 11.0)
    seat.absolve(1)
    seat.absolve(2)
    assert (seat.standing(1), seat.standing(2)) == (IN, EJECTED)
    assert seat.since(1) > 1.0


RACE = """
import json, os
from gateway.core.ejection import EJECTED, TRIAL, Ejection
from gateway.core.spec import EjectionSpec
from gateway.proxy.scoreboard import Scoreboard, Seat

class Broken(Seat):
    def exclusively(self, row, act):
        seen = self.standing(row)
        os.sched_yield()
        return act()
    def put(self, row, standing, since, until):
        os.sched_yield()
        super().put(row, standing, since, until)

board, workers, pipes = Scoreboard(4), [], []
rows = range(8)
start = os.pipe()
for number in range(1, 5):
    pipe = os.pipe()
    if os.fork() == 0:
        seat = {kind}(board, number)
        ejection = Ejection(EjectionSpec(1, 1000.0, 25), rows, seat)
        os.read(start[0], 1)
        won = 0
        for turn in range({rounds}):
            now = 1.0 + turn
            while board.spans[2 * 31] < turn:
                os.sched_yield()
            won += bool(ejection.failed((turn * 4 + number) % 8, now))
            board.rows[31 * board.stride + 6 + number] += 1
        os.write(pipe[1], str(won).encode())
        os._exit(0)
    pipes.append(pipe)
os.write(start[1], b"abcd")
most = 0
for turn in range({rounds}):
    board.spans[2 * 31] = turn
    while sum(board.rows[31 * board.stride + 6 + number] for number in range(1, 5)) < 4 * (turn + 1):
        os.sched_yield()
    most = max(most, sum(board.seat(0).standing(row) == EJECTED for row in rows))
    for row in rows:
        board.seat(0).forget(row)
won = sum(int(os.read(pipe[0], 20)) for pipe in pipes)
for _ in pipes:
    assert os.wait()[1] == 0
print(json.dumps([most, won]))
"""


def test_four_processes_never_eject_more_than_may_be(run_script) -> None:
    """Four workers whose requests fail at the same moment at different backends leave two of eight out, not four."""
    most, won = run_script(RACE.format(kind="Seat", rounds=300), timeout=60)
    assert most == 2
    assert won == 600


def test_control_without_the_lock_too_many_are_out(run_script) -> None:
    """Control: the same game without the lock leaves more out at some moment than may be."""
    most, _ = run_script(RACE.format(kind="Broken", rounds=300), timeout=60)
    assert most > 2
