"""Where requests wait: a permit that comes back goes to who waits longest, here or in another worker."""

from __future__ import annotations

import pytest

from gateway.core.admission import Backend, Pool
from gateway.core.balance import compile_pick
from gateway.core.ejection import EJECTED, SUSPECT
from gateway.core.spec import EjectionSpec
from gateway.proxy.desk import Desk
from gateway.proxy.journey import PAUSE, Journey


@pytest.fixture
def desk(loop) -> Desk:
    return Desk(loop)


@pytest.fixture
def pool(board) -> Pool:
    pool = Pool("default", board)
    shape(pool, [Backend("http://one:1", 1)])
    return pool


def shape(pool, backends, **spec) -> None:
    """Two may wait for one permit, unless the test says otherwise."""
    usual = {"limit": 1, "max_waiting": 2, "ejection": None, "retry_percent": 100}
    pool.shape(backends, pick=compile_pick("round_robin", None, None), **usual | spec)


def waiting(steps: list) -> Journey:
    """A journey that notes when it is woken."""

    async def wait() -> None:
        while True:
            await PAUSE
            steps.append(journey)

    journey = Journey()
    journey.start(wait())
    return journey


def test_permit_goes_to_the_first_in_line(desk, pool, loop, clock) -> None:
    """The permit is handed over at once, the journey woken from the loop."""
    woken = []
    backend = pool.take(clock.now)
    first, second = waiting(woken), waiting(woken)
    tickets = [desk.queue(pool, journey) for journey in (first, second)]
    assert desk.queue(pool, Journey()) is None
    desk.give_back(pool, backend)
    assert (tickets[0].backend, tickets[1].backend, woken) == (backend, None, [])
    loop.settle()
    assert woken == [first]
    desk.give_back(pool, backend)
    loop.settle()
    assert woken == [first, second]
    desk.give_back(pool, backend)


def test_permit_that_came_free_meanwhile(desk, pool, board, loop, clock) -> None:
    """A permit that another worker gives back between the look and the entry in the queue is not missed."""
    backend = pool.take(clock.now)
    board.give_back(backend.row)
    ticket = desk.queue(pool, waiting([]))
    assert ticket.backend is backend
    assert desk._queueing == set()
    desk.leave(pool, ticket)
    assert board.outstanding(1) == 0


def test_leaving_an_empty_queue_behind(desk, pool, board, clock) -> None:
    """Who leaves last takes the pool off the desk, and its flag off the board."""
    backend = pool.take(clock.now)
    first, second = desk.queue(pool, waiting([])), desk.queue(pool, waiting([]))
    desk.leave(pool, first)
    assert desk._queueing == {pool}
    assert board.waiting == {1: True}
    desk.leave(pool, second)
    assert desk._queueing == set()
    assert board.waiting == {1: False}
    desk.give_back(pool, backend)


def test_another_workers_permit(desk, pool, board, loop, clock) -> None:
    """Woken by another worker, the desk looks through all pools in which somebody waits."""
    pool.take(clock.now)
    ticket = desk.queue(pool, waiting([]))
    desk.advance_all()
    assert ticket.backend is None
    board.give_back(1)
    desk.advance_all()
    assert ticket.backend is not None
    assert desk._queueing == set()
    board.give_back(1)


def test_others_are_told(desk, pool, board, clock) -> None:
    """A permit that comes back is offered to the workers that wait for it."""
    desk.give_back(pool, pool.take(clock.now))
    assert board.pokes == [1]


def test_wake_up_that_comes_too_late_is_passed_on(desk, pool, board, clock) -> None:
    """Who was woken for a free permit and left before it could be taken leaves it to a third worker."""
    backend = pool.take(clock.now)
    first, second = desk.queue(pool, waiting([])), desk.queue(pool, waiting([]))
    board.give_back(backend.row)
    desk.leave(pool, first)
    assert board.pokes == []
    desk.leave(pool, second)
    assert board.pokes == [1]


def test_rest(desk, pool, board, loop, clock) -> None:
    """A backend that rests takes nobody; when the rest is over, who waited goes."""
    (backend,) = pool.backends
    desk.rest(pool, backend, 0.5)
    desk.rest(pool, backend, 1.0)
    ticket = desk.queue(pool, waiting([]))
    loop.advance(0.9)
    assert ticket.backend is None
    assert not board.waiting[1], "woken for a permit it would not take"
    loop.advance(0.2)
    assert ticket.backend is backend
    board.give_back(1)


def test_failures(desk, board, loop, clock) -> None:
    """An ejection is told to all workers when it begins and when it ends; who waits here goes then, by itself."""
    pool = Pool("default", board)
    backends = [Backend("http://one:1", 1), Backend("http://two:1", 2)]
    shape(pool, backends, ejection=EjectionSpec(2, 5.0, 50))
    held = pool.take(clock.now)
    other = next(backend for backend in backends if backend is not held)
    assert [desk.failed(pool, other, is_abandoned=False) for _ in range(3)] == [0.0, 5.0, 0.0]
    assert board.calls == 1
    ticket = desk.queue(pool, waiting([]))
    loop.advance(4.9)
    assert ticket.backend is None
    loop.advance(0.2)
    assert ticket.backend is other
    assert board.calls == 2
    desk.give_back(pool, other)
    desk.give_back(pool, held)


def test_an_abandoned_request_is_a_failure_and_more(desk, board, loop, clock) -> None:
    """It counts, and the backend is avoided, which is no ejection; unless it was once too often."""
    pool = Pool("default", board)
    backends = [Backend("http://one:1", 1), Backend("http://two:1", 2)]
    shape(pool, backends, ejection=EjectionSpec(2, 5.0, 50))
    assert desk.failed(pool, backends[0], is_abandoned=True) == 0.0
    assert board.standing(1) == SUSPECT
    assert desk.failed(pool, backends[0], is_abandoned=True) == 5.0
    assert board.standing(1) == EJECTED


def test_control_waking_on_the_stack_nests(pool, board, clock) -> None:
    """Control: were journeys woken where a permit comes back, each would run within the one before."""
    depth = {"now": 0, "most": 0}
    shape(pool, pool.backends, max_waiting=50)
    backend = pool.take(clock.now)

    def ready() -> None:
        depth["now"] += 1
        depth["most"] = max(depth["most"], depth["now"])
        pool.give_back(backend)
        pool.advance(clock.now)
        depth["now"] -= 1

    for _ in range(50):
        pool.queue(ready)
    pool.give_back(backend)
    pool.advance(clock.now)
    assert depth["most"] == 50
