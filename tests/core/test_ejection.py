"""Who is left out, for how long, and how it comes back: decisions on the standings that all workers share."""

from __future__ import annotations

import pytest
from standings_book import Standings

from gateway.core.admission import Backend
from gateway.core.ejection import (
    EJECTED,
    GATEWAY_FAILURES,
    IN,
    MOST_TIMES,
    SUSPECT,
    SUSPECT_SECONDS,
    TRIAL,
    TRIAL_SECONDS,
    Ejection,
)
from gateway.core.spec import EjectionSpec

NOW = 10_000.0
SPEC = EjectionSpec(consecutive_failures=3, seconds=30.0, max_percent=50)


@pytest.fixture
def board():
    return Standings()


def rules(board, count=4, spec=SPEC):
    return Ejection(spec, range(count), board)


def fail(ejection, row, times, now=NOW):
    """The seconds that each of these failures brought."""
    return [ejection.failed(row, now) for _ in range(times)]


def sifted(ejection, rows, now=NOW):
    return [backend.row for backend in ejection.sift([Backend("http://b", row) for row in rows], now)]


def test_failures_in_a_row_eject(board):
    """The third in a row is one too many; those that come after it say nothing new."""
    ejection = rules(board)
    assert fail(ejection, 1, 5) == [0.0, 0.0, 30.0, 0.0, 0.0]
    assert (board.standing(1), board.since(1), board.until(1)) == (EJECTED, NOW, NOW + 30)
    assert sifted(ejection, range(4)) == [0, 2, 3]


def test_a_good_answer_between_breaks_the_row(board):
    """Failures are counted from the last good answer on."""
    ejection = rules(board)
    fail(ejection, 1, 2)
    assert not ejection.forgive(1, NOW)
    assert fail(ejection, 1, 3) == [0.0, 0.0, 30.0]


def test_failures_of_all_workers_count_together(board):
    """What one worker has seen the other need not see again."""
    here, there = rules(board), rules(board)
    assert [here.failed(1, NOW), there.failed(1, NOW), here.failed(1, NOW)] == [0.0, 0.0, 30.0]
    assert there.failed(1, NOW) == 0.0


@pytest.mark.parametrize(
    ("count", "percent", "most"), [(2, 50, 1), (3, 50, 1), (4, 50, 2), (4, 49, 1), (2, 49, 0), (3, 100, 3), (3, 0, 0)]
)
def test_no_more_than_the_share_is_out(board, count, percent, most):
    """Whole backends only: what is not reached is not rounded up to."""
    ejection = rules(board, count, EjectionSpec(1, 30.0, percent))
    ejected = [bool(ejection.failed(row, NOW)) for row in range(count)]
    assert ejected == [True] * most + [False] * (count - most)
    assert [board.standing(row) for row in range(count)] == [EJECTED] * most + [IN] * (count - most)


def test_a_place_that_comes_free_is_taken(board):
    """Who fails while the others are out goes as soon as one of them is back."""
    ejection = rules(board, 2)
    fail(ejection, 0, 3)
    assert fail(ejection, 1, 5) == [0.0] * 5
    assert ejection.begin_trial(0, NOW + 30)
    ejection.forgive(0, NOW + 30)
    assert ejection.failed(1, NOW + 31) == 30.0


def test_one_trial_then_back(board):
    """When its time is over one request tries it; a good answer brings it back for all."""
    ejection, other = rules(board), rules(board)
    fail(ejection, 1, 3)
    assert not ejection.is_due(1, NOW + 29.9)
    assert not ejection.begin_trial(1, NOW + 29.9)
    assert ejection.is_due(1, NOW + 30)
    assert ejection.begin_trial(1, NOW + 30)
    assert not other.begin_trial(1, NOW + 30)
    assert board.standing(1) == TRIAL
    assert sifted(ejection, range(4), NOW + 31) == [0, 2, 3]
    assert ejection.forgive(1, NOW + 31)
    assert (board.standing(1), board.since(1), board.failures(1)) == (IN, NOW + 31, 0)
    assert sifted(ejection, range(4), NOW + 31) == [0, 1, 2, 3]


def test_a_trial_of_which_nothing_is_heard(board):
    """Its request is gone with its worker or its client: after a while another one tries."""
    ejection = rules(board)
    fail(ejection, 1, 3)
    ejection.begin_trial(1, NOW + 30)
    assert not ejection.is_due(1, NOW + 30 + TRIAL_SECONDS - 1)
    assert ejection.begin_trial(1, NOW + 30 + TRIAL_SECONDS)


def test_a_trial_that_is_put_off(board):
    """The request found no permit: the next one may try at once, and the time out counts from where it did."""
    ejection = rules(board)
    fail(ejection, 1, 3)
    ejection.begin_trial(1, NOW + 40)
    ejection.put_off_trial(1, NOW + 40)
    assert (board.standing(1), board.since(1)) == (EJECTED, NOW)
    assert ejection.begin_trial(1, NOW + 40)


def test_longer_each_time_up_to_a_most(board):
    """A trial that fails is one failure, and one step longer; there is a longest."""
    ejection, now, seconds = rules(board), NOW, []
    fail(ejection, 1, 2)
    for _ in range(MOST_TIMES + 3):
        seconds.append(ejection.failed(1, now))
        now += seconds[-1]
        assert ejection.begin_trial(1, now)
    assert seconds[:3] == [30.0, 60.0, 90.0]
    assert seconds[-4:] == [30.0 * MOST_TIMES] * 4


def test_good_times_make_up_for_bad_ones(board):
    """Each span of `seconds` that it was in takes one step back, and never below the first."""
    ejection = rules(board)
    board.set_ejections(1, 4)
    ejection.forgive(1, NOW)
    board.put(1, IN, NOW, 0.0)
    assert fail(ejection, 1, 3, NOW + 60)[-1] == 90.0
    board.put(1, IN, NOW, 0.0)
    board.set_failures(1, 0)
    assert fail(ejection, 1, 3, NOW + 100_000)[-1] == 30.0


def test_an_ejected_one_is_not_forgiven(board):
    """A request that was there before and ends well brings nobody back."""
    ejection = rules(board)
    fail(ejection, 1, 3)
    assert not ejection.forgive(1, NOW + 1)
    assert (board.standing(1), board.failures(1)) == (EJECTED, 3)


def test_when_most_are_out_all_are_used(board):
    """Two of three out: the third would not bear it alone. Two of four: half is left."""
    ejection = rules(board, 3, EjectionSpec(1, 30.0, 100))
    ejection.failed(0, NOW)
    assert sifted(ejection, range(3)) == [1, 2]
    ejection.failed(1, NOW)
    assert sifted(ejection, range(3)) == [0, 1, 2]
    four = rules(board, 4, EjectionSpec(1, 30.0, 100))
    assert sifted(four, range(4)) == [2, 3]


def test_when_nobody_else_is_left_the_ejected_are_used(board):
    """Those that are in are down or were tried: an ejected one is better than none."""
    ejection = rules(board, 2)
    fail(ejection, 0, 3)
    assert sifted(ejection, [0]) == [0]
    assert sifted(ejection, []) == []


def test_a_suspect_is_avoided_and_probed(board):
    """While others are there, for a while, and without taking a place of those that may be ejected."""
    ejection = rules(board, 2)
    assert ejection.suspect(0, NOW) == SUSPECT_SECONDS
    assert board.hurried == 1
    assert sifted(ejection, [0, 1]) == [1]
    assert sifted(ejection, [0]) == [0]
    assert fail(ejection, 1, 3)[-1] == 30.0
    assert sifted(ejection, [0, 1]) == [0]
    assert sifted(ejection, [0, 1], NOW + SUSPECT_SECONDS) == [0]
    assert board.standing(0) == IN


def test_a_suspect_can_be_forgiven_or_ejected(board):
    """A good answer clears it; more failures do not make it better."""
    ejection = rules(board)
    ejection.failed(0, NOW)
    ejection.suspect(0, NOW)
    assert ejection.forgive(0, NOW)
    assert board.standing(0) == IN
    ejection.failed(1, NOW)
    ejection.suspect(1, NOW)
    assert fail(ejection, 1, 2) == [0.0, 30.0]
    assert ejection.suspect(1, NOW) == 0.0
    assert board.standing(1) == EJECTED


@pytest.mark.parametrize(("count", "spec"), [(4, None), (1, SPEC), (1, EjectionSpec(1, 30.0, 100))])
def test_nobody_is_ejected(board, count, spec):
    """Where it is not wanted, and where there is only one; suspicion is no ejection."""
    rules(board, 4, EjectionSpec(1, 30.0, 100)).failed(0, NOW)
    ejection = rules(board, count, spec)
    assert board.standing(0) == IN
    assert not any(fail(ejection, 0, 100))
    assert sifted(ejection, range(count)) == list(range(count))
    assert ejection.suspect(0, NOW)
    assert board.standing(0) == SUSPECT


def test_without_the_lock_nothing_changes(board):
    """Another worker was stopped with the lock in hand: nobody is ejected meanwhile, and no trial begins."""
    ejection = rules(board)
    board.is_locked = True
    assert not any(fail(ejection, 1, 10))
    board.is_locked = False
    assert ejection.failed(1, NOW) == 30.0
    board.is_locked = True
    assert not ejection.begin_trial(1, NOW + 30)
    assert board.standing(1) == EJECTED


def test_two_workers_find_the_same_at_once(board):
    """The slower one of two that eject the same backend, or begin the same trial, sees that it is done."""

    class Beaten(Standings):
        beaten_by = None

        def exclusively(self, _row, act):
            if self.beaten_by:
                self.beaten_by()
            return act()

    board = Beaten()
    ejection = rules(board)
    fail(ejection, 1, 2)
    board.beaten_by = lambda: board.put(1, EJECTED, NOW, NOW + 30)
    assert ejection.failed(1, NOW) == 0.0
    assert board.ejections(1) == 0
    board.beaten_by = lambda: board.put(1, TRIAL, NOW, NOW + 40)
    assert not ejection.begin_trial(1, NOW + 30)


def test_only_answers_of_gateways_count():
    """A 500 is the model's own word."""
    assert {502, 503, 504} == GATEWAY_FAILURES


def test_control_a_share_that_is_rounded_up_is_seen(board):
    """Control: rules that let one more out than the share leave two of two out."""
    ejection = rules(board, 2, EjectionSpec(1, 30.0, 50))
    ejection._most += 1
    assert [ejection.failed(row, NOW) for row in range(2)] == [30.0, 30.0]
