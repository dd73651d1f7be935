"""Permits and the queue of one worker: who goes where, who waits, and that all that is taken is given back."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from pool_books import NOW, Admission, Board, shape

from gateway.core.admission import Backend, Pool
from gateway.core.ejection import EJECTED, OUT
from gateway.core.spec import EjectionSpec


def pool_of(count, *, limit=1, max_waiting=10, board=None, **spec):
    """A pool of `count` backends on rows 0, 1 and so on."""
    pool = Pool("default", board or Board())
    backends = [Backend(f"http://b{row}", row) for row in range(count)]
    shape(pool, pool._board, backends, limit=limit, max_waiting=max_waiting, **spec)
    return pool


def rows(pool, times, now=NOW):
    """Where the next `times` requests go."""
    backends = [pool.take(now) for _ in range(times)]
    return [backend and backend.row for backend in backends]


@pytest.mark.parametrize("count", [1, 3])
def test_every_permit_is_given_and_no_more(count):
    """With `limit` 2 each backend gets two requests; the next finds none."""
    pool = pool_of(count, limit=2)
    assert sorted(rows(pool, 2 * count)) == sorted([*range(count), *range(count)])
    assert pool.take(NOW) is None


@pytest.mark.parametrize("count", [1, 2])
def test_no_limit_means_no_refusal(count):
    """`limit` None: as many as come, still counted."""
    board = Board()
    pool = pool_of(count, limit=None, board=board)
    assert None not in rows(pool, 100)
    assert board.taken.total() == 100


def test_the_least_busy_backend_is_chosen():
    """Requests of other workers count, since the board is shared."""
    board = Board()
    pool = pool_of(3, limit=None, board=board)
    board.taken.update({0: 5, 1: 2, 2: 4})
    assert rows(pool, 2) == [1, 1]
    assert set(rows(pool, 2)) == {1, 2}


def test_ties_take_turns():
    """A light load, one request at a time, reaches all backends equally and not only the first."""
    pool = pool_of(3)
    seen = []
    for _ in range(9):
        backend = pool.take(NOW)
        seen.append(backend.row)
        pool.give_back(backend)
    assert Counter(seen) == {0: 3, 1: 3, 2: 3}


def test_a_full_backend_is_passed_over_for_another():
    """The hint may be stale: when the least busy one turns out to be full, the next is asked."""

    class Stale(Board):
        def outstanding(self, row):
            return -self.taken[row]

    board = Stale()
    pool = pool_of(2, board=board)
    assert set(rows(pool, 2)) == {0, 1}


@pytest.mark.parametrize("count", [1, 2])
def test_unhealthy_backends_get_nothing(count):
    """What the probes call down is left out, and a pool of only such backends is not up."""
    board = Board()
    pool = pool_of(count, limit=None, board=board)
    assert pool.is_up(NOW)
    board.down = set(range(count - 1))
    assert pool.is_up(NOW)
    assert set(rows(pool, 4)) == {count - 1}
    board.down = set(range(count))
    assert not pool.is_up(NOW)
    assert pool.take(NOW) is None


@pytest.mark.parametrize("count", [1, 2])
def test_a_resting_backend_gets_nothing_until_its_time(count):
    """One that refused a connection is left alone until `resting_until`, which itself is past."""
    pool = pool_of(count)
    for backend in pool.backends:
        backend.resting_until = NOW + 1
    assert pool.take(NOW + 0.999) is None
    assert not pool.is_up(NOW + 0.999)
    assert pool.is_up(NOW + 1)
    assert pool.take(NOW + 1) is not None


@pytest.mark.parametrize("count", [1, 2])
def test_tried_backends_are_left_out(count):
    """A retry goes to a backend that the request has not been to, or nowhere."""
    pool = pool_of(count, limit=None)
    first = pool.take(NOW)
    second = pool.retake(NOW, [first])
    assert (second is None) is (count == 1)
    assert second is not first
    assert pool.retake(NOW, pool.backends) is None


def test_an_empty_pool_gives_nothing():
    """Before it is shaped, and with all backends removed, a pool has no permit and no place."""
    pool = Pool("blue", Board())
    assert pool.deployment == "blue"
    assert pool.take(NOW) is None
    assert not pool.is_up(NOW)
    assert pool.queue(lambda: None) is None


def test_permits_in_equal_permits_out():
    """What was taken and given back leaves the board as it was."""
    board = Board()
    pool = pool_of(2, limit=3, board=board)
    held = [pool.take(NOW) for _ in range(6)]
    assert board.taken == {0: 3, 1: 3}
    for backend in held:
        pool.give_back(backend)
    assert board.taken.total() == 0


def test_first_come_first_served():
    """Permits that become free go to those who wait, in the order in which they came, one each."""
    pool = pool_of(1, limit=2)
    held = [pool.take(NOW), pool.take(NOW)]
    called = []
    tickets = [pool.queue(lambda name=name: called.append(name)) for name in "abc"]
    assert len(pool) == 3
    pool.advance(NOW)
    assert called == []
    for backend in held:
        pool.give_back(backend)
    pool.advance(NOW)
    assert called == ["a", "b"]
    assert [ticket.backend for ticket in tickets] == [pool.backends[0], pool.backends[0], None]
    assert len(pool) == 1


def test_the_backend_is_known_when_ready_is_called():
    """Whoever is woken finds its permit in hand, and itself out of the queue."""
    pool = pool_of(1)
    seen = []
    ticket = pool.queue(lambda: seen.append((ticket.backend, len(pool))))
    pool.advance(NOW)
    assert seen == [(pool.backends[0], 0)]


def test_nobody_overtakes_the_queue():
    """While one waits, a newcomer gets no permit even if one is free; who was admitted before may have it."""
    pool = pool_of(1)
    pool.queue(lambda: None)
    assert pool.take(NOW) is None
    assert pool.retake(NOW, ()) is pool.backends[0]


def test_a_retry_respects_limits_and_what_was_tried():
    """`retake` is no way round a full backend or back to the one that failed."""
    pool = pool_of(2)
    first = pool.take(NOW)
    second = pool.retake(NOW, [first])
    assert second is not None
    assert second is not first
    assert pool.retake(NOW, [first]) is None


def test_the_queue_has_as_many_places_as_asked():
    """The request after the last place is told at once."""
    pool = pool_of(1, max_waiting=2)
    assert pool.queue(lambda: None) is not None
    assert pool.queue(lambda: None) is not None
    assert pool.queue(lambda: None) is None
    assert pool_of(1, max_waiting=0).queue(lambda: None) is None


def test_a_withdrawn_ticket_gets_nothing():
    """Who leaves the queue is not called, and those behind move up."""
    pool = pool_of(1)
    called = []
    first = pool.queue(lambda: called.append("first"))
    pool.queue(lambda: called.append("second"))
    pool.withdraw(first)
    pool.advance(NOW)
    assert called == ["second"]
    assert first.backend is None


def test_a_permit_handed_over_stays_with_who_leaves_late():
    """Withdrawing after the turn has come changes nothing: the owner has the permit and gives it back itself."""
    board = Board()
    pool = pool_of(1, board=board)
    ticket = pool.queue(lambda: None)
    pool.advance(NOW)
    pool.withdraw(ticket)
    assert board.taken[0] == 1
    pool.give_back(ticket.backend)
    assert board.taken[0] == 0


def test_other_workers_see_who_waits():
    """The waiting flag of every backend stands while the queue has anyone, whichever way the last one leaves."""
    board = Board()
    pool = pool_of(2, board=board)
    first, second = pool.queue(lambda: None), pool.queue(lambda: None)
    assert board.waiting == {0, 1}
    pool.withdraw(second)
    assert board.waiting == {0, 1}
    pool.withdraw(first)
    assert board.waiting == set()
    pool.queue(lambda: None)
    pool.advance(NOW)
    assert board.waiting == set()


def test_nobody_is_woken_for_a_backend_that_rests_here():
    """Another worker's wake-up must not go to one that would not use the permit: it would be lost."""
    board = Board()
    pool = pool_of(2, board=board)
    pool.set_resting(pool.backends[0], is_resting=True)
    assert board.waiting == set()
    rows(pool, 2)
    pool.queue(lambda: None)
    assert board.waiting == {1}
    pool.set_resting(pool.backends[0], is_resting=False)
    assert board.waiting == {0, 1}
    pool.set_resting(pool.backends[1], is_resting=True)
    assert board.waiting == {0}


def test_who_waits_goes_on_waiting_for_new_backends():
    """A change of backends moves the waiting flags along, and the new backends serve the old queue in its order."""
    board = Board()
    pool = pool_of(1, board=board)
    board.down = {0}
    called = []
    for name in "ab":
        pool.queue(lambda name=name: called.append(name))
    shape(pool, board, [Backend("http://new", 7), Backend("http://other", 8)])
    assert board.waiting == {7, 8}
    pool.advance(NOW)
    assert called == ["a", "b"]
    assert board.taken == {7: 1, 8: 1}
    assert board.waiting == set()


def test_a_shorter_queue_drops_nobody():
    """A smaller `max_waiting` refuses newcomers only."""
    pool = pool_of(1)
    tickets = [pool.queue(lambda: None) for _ in range(3)]
    shape(pool, pool._board, pool.backends, limit=3, max_waiting=1)
    assert pool.queue(lambda: None) is None
    pool.advance(NOW)
    assert all(ticket.backend for ticket in tickets)


def test_another_worker_is_poked_about_this_backend():
    """The board is asked for the row of the backend that has room, and its answer comes back."""
    board = Board()
    pool = pool_of(2, board=board)
    assert [pool.poke_others(backend) for backend in pool.backends] == [False, True]
    assert board.pokes == [0, 1]


def test_what_is_free_is_passed_on():
    """A worker that leaves the queue pokes another for each backend with room, and for no other."""
    board = Board()
    pool = pool_of(2, board=board)
    board.taken[0] = 1
    pool.pass_on()
    assert board.pokes == [1]
    shape(pool, board, pool.backends, limit=None)
    pool.pass_on()
    assert board.pokes == [1, 0, 1]


@pytest.mark.parametrize("balance", ["least_outstanding", "round_robin", "power_of_two"])
def test_who_is_out_gets_nothing_and_the_others_share(balance):
    """Of four backends one is down, one rests, one is ejected: the last one gets all; of three, two get half each."""
    board = Board()
    pool = pool_of(4, limit=None, board=board, balance=balance, ejection=EjectionSpec(1, 30.0, 50))
    assert pool.failed(pool.backends[2], NOW) == 30.0
    board.down = {0}
    seen = Counter(rows(pool, 600))
    assert set(seen) == {1, 3}
    assert abs(seen[1] - seen[3]) <= 100
    pool.backends[3].resting_until = NOW + 1
    assert set(rows(pool, 10)) == {1}


def test_the_first_request_after_the_time_is_the_trial():
    """One request goes to who was out; while it is under way the others go elsewhere; after it all is as before."""
    board = Board()
    pool = pool_of(2, limit=None, board=board, ejection=EjectionSpec(1, 30.0, 50))
    out = pool.backends[0]
    pool.failed(out, NOW)
    assert set(rows(pool, 6, NOW + 29)) == {1}
    assert sorted(rows(pool, 6, NOW + 30)) == [0, 1, 1, 1, 1, 1]
    assert not pool.succeeded(pool.backends[1])
    assert pool.succeeded(out)
    assert pool.forgive(out, NOW + 31)
    assert board.calls == 1
    assert not pool.forgive(out, NOW + 31)
    assert board.calls == 1
    board.taken.clear()
    assert sorted(rows(pool, 6, NOW + 31)) == [0, 0, 0, 1, 1, 1]


def test_a_trial_needs_a_permit():
    """While old requests hold all permits of who was out, no trial begins; losing a permit in a race puts it off."""

    class Contended(Board):
        is_lost = False

        def take(self, row, limit):
            return not (self.is_lost and row == 0) and super().take(row, limit)

    board = Contended()
    pool = pool_of(2, board=board, ejection=EjectionSpec(1, 30.0, 50))
    out = pool.backends[0]
    board.take(0, 1)
    pool.failed(out, NOW)
    assert rows(pool, 2, NOW + 30) == [1, None]
    assert board.standing(0) == EJECTED
    board.give_back(0)
    board.is_lost = True
    assert rows(pool, 2, NOW + 31) == [None, None]
    assert (board.standing(0), board.until(0)) == (EJECTED, NOW + 31)
    board.is_lost = False
    assert rows(pool, 1, NOW + 32) == [0]


def test_a_retry_is_no_trial():
    """What has failed once is not used to try out who failed before; and who is ejected is tried if nobody else is."""
    pool = pool_of(3, limit=None, ejection=EjectionSpec(1, 30.0, 50))
    first, second, out = pool.backends
    pool.failed(out, NOW)
    assert pool.retake(NOW + 30, [first]) is second
    assert pool.retake(NOW + 30, [first, second]) is out


def test_a_suspect_is_the_last_choice():
    """It gets a request when the other one is down, and not when that is merely busy."""
    board = Board()
    pool = pool_of(2, board=board)
    assert pool.suspect(pool.backends[0], NOW)
    assert rows(pool, 2) == [1, None]
    board.down = {1}
    assert rows(pool, 1) == [0]


def test_a_backend_is_shown_with_its_address():
    """Two addresses of one name are told apart."""
    assert [Backend("http://m:1", 1, address).shown for address in ("", "10.0.0.1")] == [
        "http://m:1",
        "http://m:1 (10.0.0.1)",
    ]


def test_all_workers_are_woken():
    """A changed standing is everybody's business."""
    board = Board()
    pool_of(2, board=board).wake_all()
    assert board.calls == 1


def test_the_budget_counts_requests_that_could_be_tried_elsewhere():
    """With one backend there is no other to try; with two each request counts, the one that queues included."""
    alone, pair = pool_of(1), pool_of(2)
    for pool in (alone, pair):
        for _ in range(5):
            pool.take(NOW)
    assert (alone.budget.requests, pair.budget.requests) == (0, 5)


STEPS = settings(max_examples=150, stateful_step_count=40, deadline=None)
FIND = settings(STEPS, max_examples=500, database=None, phases=[Phase.generate])


def test_the_books_balance_whatever_happens():
    """Any order of events: limits hold, the queue is FIFO, a ticket gets at most one backend, no permit is lost."""
    run_state_machine_as_test(Admission, settings=STEPS)


class Lifo(Pool):
    """Serves the last one first."""

    __slots__ = ()

    def advance(self, now):
        self._waiting.reverse()
        super().advance(now)
        self._waiting.reverse()


class Leaking(Pool):
    """Forgets a permit when somebody leaves the queue."""

    __slots__ = ()

    def withdraw(self, ticket):
        super().withdraw(ticket)
        self._take(NOW)


class Impolite(Pool):
    """Lets newcomers overtake."""

    __slots__ = ()

    def take(self, now):
        return self._take(now)


class Overstrict(Pool):
    """Uses nobody who is ejected, whoever is left."""

    __slots__ = ()

    def candidates(self, now, tried=()):
        return [backend for backend in super().candidates(now, tried) if self._board.standing(backend.row) not in OUT]


@pytest.mark.parametrize("broken", [Lifo, Leaking, Impolite, Overstrict])
def test_control_broken_books_are_seen(broken):
    """The same machine finds a pool that serves in the wrong order, loses permits, lets newcomers by or refuses all."""

    class Broken(Admission):
        pool_class = broken

    with pytest.raises(AssertionError):
        run_state_machine_as_test(Broken, settings=FIND)
