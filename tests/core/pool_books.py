"""A board in plain counters, and a machine that plays callers and backends against a pool and audits its books."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from standings_book import Standings

from gateway.core.admission import Backend, Pool
from gateway.core.balance import compile_pick
from gateway.core.ejection import IN, OUT
from gateway.core.spec import EjectionSpec

NOW = 100.0


class Board(Standings):
    """The board of a gateway with this one worker, kept in plain counters."""

    def __init__(self):
        super().__init__()
        self.served = Counter()
        self.calls = 0
        self.taken = Counter()
        self.down = set()
        self.waiting = set()
        self.pokes = []

    def take(self, row, limit):
        if limit is not None and self.taken[row] >= limit:
            return False
        self.taken[row] += 1
        return True

    def give_back(self, row):
        self.taken[row] -= 1

    def succeeded(self, row):
        self.served[row] += 1
        return self.failed[row] != 0

    def outstanding(self, row):
        return self.taken[row]

    def healthy(self, row):
        return row not in self.down

    def is_well(self, row):
        return row not in self.down and self.standing(row) == IN

    def wake_all(self):
        self.calls += 1

    def set_waiting(self, row, waiting):
        (self.waiting.add if waiting else self.waiting.discard)(row)

    def poke(self, row):
        self.pokes.append(row)
        return row == 1


def shape(pool, board, backends, *, limit=1, max_waiting=10, balance="least_outstanding", **spec):
    """Shape a pool; `spec`: `ejection` and `retry_percent`, by default never and all."""
    pick = compile_pick(balance, board.outstanding, random.Random(1).random)
    pool.shape(
        backends, pick=pick, limit=limit, max_waiting=max_waiting, **{"ejection": None, "retry_percent": 100} | spec
    )


class Admission(RuleBasedStateMachine):
    """Callers come, wait, leave, finish; backends fail, mend and change: the books must balance after every step."""

    pool_class = Pool

    def __init__(self):
        super().__init__()
        self.board = Board()
        self.pool = self.pool_class("default", self.board)
        self.queued = []
        self.held = []
        self.limit = 1
        self.ejection = None
        self.now = NOW

    @initialize(count=st.integers(1, 3))
    def begin(self, count):
        self.shape(count, 1)

    @rule(
        count=st.integers(0, 3),
        limit=st.sampled_from([1, 2, None]),
        balance=st.sampled_from(["least_outstanding", "round_robin", "power_of_two"]),
        ejection=st.sampled_from([None, EjectionSpec(2, 5.0, 50), EjectionSpec(1, 5.0, 100)]),
    )
    def shape(self, count, limit, balance="least_outstanding", ejection=None):
        self.limit, self.ejection = limit, ejection
        first = len(self.held) % 2
        backends = [Backend(f"b{row}", row) for row in range(first, first + count)]
        shape(self.pool, self.board, backends, limit=limit, max_waiting=5, balance=balance, ejection=ejection)

    @rule()
    def arrive(self):
        before = len(self.pool)
        backend = self.pool.take(self.now)
        if backend is not None:
            assert before == 0, "a newcomer overtook the queue"
            return self.hold(backend)
        entry = {"calls": 0}
        ticket = self.pool.queue(lambda: self.turn(entry))
        assert (ticket is None) == (before >= 5)
        if ticket is not None:
            entry["ticket"] = ticket
            self.queued.append(entry)
        return None

    def turn(self, entry):
        entry["calls"] += 1
        assert entry is self.queued[0], "the queue is not first come, first served"
        assert entry["calls"] == 1, "a ticket was served twice"
        self.queued.remove(entry)
        self.hold(entry["ticket"].backend)

    def hold(self, backend):
        assert self.limit is None or self.board.taken[backend.row] <= self.limit
        assert backend.row not in self.board.down
        self.held.append(backend)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def finish(self, data):
        backend = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        self.pool.give_back(backend)
        if self.pool.succeeded(backend):
            self.pool.forgive(backend, self.now)
        self.pool.advance(self.now)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def fail_and_retry(self, data):
        failed = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        self.pool.give_back(failed)
        if self.pool.failed(failed, self.now):
            rows = [backend.row for backend in self.pool.backends]
            out = sum(self.board.standing(row) in OUT for row in rows)
            assert out <= len(rows) * self.ejection.max_percent // 100, "more are ejected than may be"
        other = self.pool.retake(self.now, [failed])
        assert other is None or other is not failed
        if other is not None:
            self.hold(other)

    @precondition(lambda self: self.queued)
    @rule(data=st.data())
    def give_up(self, data):
        entry = self.queued.pop(data.draw(st.integers(0, len(self.queued) - 1)))
        self.pool.withdraw(entry["ticket"])
        assert entry["ticket"].backend is None

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def abandon(self, data):
        backend = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        self.pool.give_back(backend)
        self.pool.suspect(backend, self.now)
        self.pool.advance(self.now)

    @rule(seconds=st.sampled_from([1.0, 10.0]))
    def pass_time(self, seconds):
        self.now += seconds
        self.pool.advance(self.now)

    @rule(row=st.integers(0, 3))
    def break_or_mend(self, row):
        self.board.down ^= {row}

    @rule()
    def advance(self):
        self.pool.advance(self.now)
        free = self.pool.candidates(self.now)
        assert not self.queued or not any(self.limit is None or self.board.taken[b.row] < self.limit for b in free)

    @invariant()
    def somebody_is_left(self):
        is_up = any(backend.row not in self.board.down for backend in self.pool.backends)
        assert bool(self.pool.candidates(self.now)) == is_up, "all backends are left out"

    @invariant()
    def the_books_balance(self):
        assert +self.board.taken == Counter(backend.row for backend in self.held)
        assert len(self.pool) == len(self.queued)
        assert all(entry["ticket"].backend is None and entry["calls"] == 0 for entry in self.queued)
        shown = {backend.row for backend in self.pool.backends} if self.queued else set()
        assert self.board.waiting == shown
