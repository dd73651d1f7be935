"""Locks among processes: one holder at a time, dropped with a dead holder, never waited for long."""

from __future__ import annotations

import time

from gateway.proxy.locks import PATIENCE_SECONDS, SPINS, STUCK_SECONDS, ByteLocks

HOLD = """
import json, os, signal, sys, time
from gateway.proxy.locks import ByteLocks

locks = ByteLocks()
ready, go = os.pipe(), os.pipe()
holder = os.fork()
if holder == 0:
    assert locks.acquire(7)
    os.write(ready[1], b"x")
    os.read(go[0], 1)
    locks.release(7)
    os.write(ready[1], b"x")
    time.sleep(60)
    os._exit(0)
os.read(ready[0], 1)
os.kill(holder, signal.SIGSTOP)
waits = []
for _ in range(3):
    began = time.perf_counter()
    got = locks.acquire(7)
    waits.append((got, time.perf_counter() - began))
other = locks.acquire(8)
"""


def test_stopped_holder_stops_nobody_for_long(run_script) -> None:
    """While a holder is stopped others are turned away: the first after a bounded wait, the next at once."""
    waits, other = run_script(
        HOLD + "os.kill(holder, signal.SIGKILL); os.waitpid(holder, 0); print(json.dumps([waits, other]))"
    )
    assert [got for got, _ in waits] == [False, False, False]
    assert PATIENCE_SECONDS <= waits[0][1] < 10 * PATIENCE_SECONDS
    assert all(seconds < PATIENCE_SECONDS for _, seconds in waits[1:])
    assert other


def test_lock_of_a_dead_holder_is_free(run_script) -> None:
    """A lock is had at once when its holder has died."""
    end = "os.kill(holder, signal.SIGKILL); os.waitpid(holder, 0); print(json.dumps(locks.acquire(7)))"
    assert run_script(HOLD + end)


def test_lock_of_a_holder_that_went_on_is_free(run_script) -> None:
    """A lock is had at once when its holder, stopped for a while, went on and released it."""
    go_on = "os.write(go[1], b'x'); os.kill(holder, signal.SIGCONT); os.read(ready[0], 1)\n"
    end = "print(json.dumps(locks.acquire(7))); os.kill(holder, signal.SIGKILL); os.waitpid(holder, 0)"
    assert run_script(HOLD + go_on + end)


def test_holder_that_needs_a_moment_is_waited_for(run_script) -> None:
    """A holder that lost its core for some milliseconds is waited for."""
    got = run_script("""
        import json, os, time
        from gateway.proxy.locks import ByteLocks

        locks, ready = ByteLocks(), os.pipe()
        if os.fork() == 0:
            locks.acquire(7)
            os.write(ready[1], b"x")
            time.sleep(0.004)
            locks.release(7)
            os._exit(0)
        os.read(ready[0], 1)
        print(json.dumps(locks.acquire(7)))
        os.wait()
    """)
    assert got


def test_stuck_lock_is_tried_again(monkeypatch) -> None:
    """A lock that could not be had is waited for again after a while."""
    locks = ByteLocks()
    monkeypatch.setattr(ByteLocks, "_try", lambda *_: False)
    assert not locks.acquire(7)
    began = time.monotonic()
    assert not locks.acquire(7)
    assert time.monotonic() - began < PATIENCE_SECONDS
    locks._stuck_until[7] -= STUCK_SECONDS
    began = time.monotonic()
    assert not locks.acquire(7)
    assert time.monotonic() - began >= PATIENCE_SECONDS
    locks._file.close()


COUNT = """
import json, mmap, os, struct
from gateway.proxy.locks import ByteLocks

class Broken(ByteLocks):
    def acquire(self, number):
        return True
    def release(self, number):
        pass

locks, memory = {kind}(), mmap.mmap(-1, 8)
for _ in range(4):
    if os.fork() == 0:
        for _ in range(2000):
            while not locks.acquire(1):
                pass
            (value,) = struct.unpack("Q", memory[:8])
            os.sched_yield()
            memory[:8] = struct.pack("Q", value + 1)
            locks.release(1)
        os._exit(0)
for _ in range(4):
    os.wait()
print(json.dumps(struct.unpack("Q", memory[:8])[0]))
"""


def test_one_holder_at_a_time(run_script) -> None:
    """Four processes that add under a lock lose nothing."""
    assert run_script(COUNT.format(kind="ByteLocks")) == 8000


def test_control_without_the_lock_additions_are_lost(run_script) -> None:
    """Control: the same additions without a lock lose many."""
    assert run_script(COUNT.format(kind="Broken")) < 8000


def test_lock_that_comes_free_while_waiting(monkeypatch) -> None:
    """A holder that is done after a short nap of ours costs no more than that."""
    tries = []

    def busy(*_) -> None:
        tries.append(1)
        if len(tries) <= SPINS + 1:
            raise BlockingIOError

    locks = ByteLocks()
    monkeypatch.setattr("gateway.proxy.locks.fcntl.lockf", busy)
    assert locks.acquire(7)
    assert len(tries) == SPINS + 2
    locks._file.close()
