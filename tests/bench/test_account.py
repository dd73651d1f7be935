"""What processes used, by the kernel's books."""

from __future__ import annotations

import os
import subprocess
import sys

from bench import account, machine

BUSY = "import time; [None for _ in iter(lambda: time.process_time() < 0.3, False)]; print(flush=True); input()"


def test_a_tree_holds_its_descendants_and_what_they_used():
    """The CPU time of a process started in between is counted; of one that has ended nothing is left."""
    with subprocess.Popen([sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert process.pid in account.tree(os.getpid())
        assert 0.3 <= account.cpu_seconds([process.pid]) < 2.0
        assert 2**20 < account.memory_bytes([process.pid]) < 2**28
        process.communicate(b"\n")
    assert account.cpu_seconds([process.pid]) == 0.0


def test_what_we_use_ourselves_disturbs_nobody():
    """A process of ours that took all of its core is not taken for a stranger."""
    own = frozenset(os.sched_getaffinity(0))
    watch = machine.Watch(own)
    started = account.cpu_seconds([os.getpid()])
    subprocess.run([sys.executable, "-c", BUSY], input=b"\n", check=True, stdout=subprocess.DEVNULL)
    took = watch.disturbance()
    assert account.cpu_seconds([os.getpid()]) >= started
    assert 0.0 <= took.foreign <= 1.0
    assert 0.0 <= took.stolen <= 1.0
