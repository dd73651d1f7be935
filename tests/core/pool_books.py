"""A board in plain counters, and a machine that plays callers and backends against a pool and audits its books."""

from __future__ import annotations

from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.core.admission import Backend, Pool

NOW = 100.0


class Board:
    """The board of a gateway with this one worker, kept in plain counters."""

    def __init__(self):
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

    def outstanding(self, row):
        return self.taken[row]

    def healthy(self, row):
        return row not in self.down

    def set_waiting(self, row, waiting):
        (self.waiting.add if waiting else self.waiting.discard)(row)

    def poke(self, row):
        self.pokes.append(row)
        return row == 1


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

    @initialize(count=st.integers(1, 3))
    def begin(self, count):
        self.shape(count, 1)

    @rule(count=st.integers(0, 3), limit=st.sampled_from([1, 2, None]))
    def shape(self, count, limit):
        self.limit = limit
        first = len(self.held) % 2
        self.pool.shape([Backend(f"b{row}", row) for row in range(first, first + count)], limit=limit, max_waiting=5)

    @rule()
    def arrive(self):
        before = len(self.pool)
        backend = self.pool.take(NOW)
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
        self.pool.give_back(self.held.pop(data.draw(st.integers(0, len(self.held) - 1))))
        self.pool.advance(NOW)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def fail_and_retry(self, data):
        failed = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        self.pool.give_back(failed)
        other = self.pool.retake(NOW, [failed])
        assert other is None or other is not failed
        if other is not None:
            self.hold(other)

    @precondition(lambda self: self.queued)
    @rule(data=st.data())
    def give_up(self, data):
        entry = self.queued.pop(data.draw(st.integers(0, len(self.queued) - 1)))
        self.pool.withdraw(entry["ticket"])
        assert entry["ticket"].backend is None

    @rule(row=st.integers(0, 3))
    def break_or_mend(self, row):
        self.board.down ^= {row}

    @rule()
    def advance(self):
        self.pool.advance(NOW)
        free = [b for b in self.pool.backends if b.row not in self.board.down]
        assert not self.queued or not any(self.limit is None or self.board.taken[b.row] < self.limit for b in free)

    @invariant()
    def the_books_balance(self):
        assert +self.board.taken == Counter(backend.row for backend in self.held)
        assert len(self.pool) == len(self.queued)
        assert all(entry["ticket"].backend is None and entry["calls"] == 0 for entry in self.queued)
        shown = {backend.row for backend in self.pool.backends} if self.queued else set()
        assert self.board.waiting == shown
