"""Processes that the demo starts."""

from __future__ import annotations

import io
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.demo.child import Child
from gateway.demo.error import DemoError
from gateway.demo.progress import Progress

QUIET = Progress(io.StringIO())


def _child(tmp_path: Path, program: str) -> Child:
    return Child("model server", [sys.executable, "-c", program], log=tmp_path / "log", environ=os.environ)


def _ends(pidfd: int) -> bool:
    return bool(select.select([pidfd], [], [], 10)[0])


def test_crash_is_told_with_its_last_lines(tmp_path: Path) -> None:
    """A process that ends before it is ready is one line: name, status, and what it said last."""
    child = _child(tmp_path, "print('one'); print('two'); raise SystemExit(3)")
    with pytest.raises(DemoError) as caught:
        child.until(lambda: False, progress=QUIET, seconds=30)
    assert str(caught.value) == f"the model server ended (exit status 3); {tmp_path / 'log'} ends with: one | two"


def test_death_by_signal_is_named(tmp_path: Path) -> None:
    """A killed process is told with the signal's name."""
    child = _child(tmp_path, "import os; os.kill(os.getpid(), 9)")
    assert child.wait(30) == -9
    with pytest.raises(DemoError, match=r"killed by SIGKILL.*it said nothing"):
        child.check()


def test_never_ready(tmp_path: Path) -> None:
    """A process that runs but is never ready is given up after the time limit, and stop() ends it."""
    child = _child(tmp_path, "import time; print('hm', flush=True); time.sleep(60)")
    with pytest.raises(DemoError, match="not ready after 1 s"):
        child.until(lambda: False, progress=QUIET, seconds=1)
    child.stop(seconds=5)
    assert child.wait(0) == -signal.SIGTERM


def test_stop_ends_the_whole_group(tmp_path: Path, group_of: Callable[[int], set[int]]) -> None:
    """A grandchild that ignores SIGTERM is gone after stop()."""
    grandchild = "import signal,time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    child = _child(
        tmp_path,
        f"import subprocess,sys; p=subprocess.Popen([sys.executable,'-c',{grandchild!r}]); print(p.pid); p.wait()",
    )
    child.until(lambda: "up" in (tmp_path / "log").read_text(), progress=QUIET, seconds=30)
    watched = [os.pidfd_open(pid) for pid in group_of(child.pid)]
    child.stop(seconds=5)
    assert len(watched) == 2
    assert all(_ends(pidfd) for pidfd in watched)
    for pidfd in watched:
        os.close(pidfd)


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG of Linux")
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "control: not tied"])
def test_kill_9_of_the_demo_ends_its_children(tmp_path: Path, tied: bool) -> None:
    """The kernel ends a child when its starter is killed; an ordinary child (the control) lives on."""
    start = (
        "Child('c', [sys.executable, '-c', 'import time; time.sleep(60)'], log=Path('log'), environ=os.environ).pid"
        if tied
        else "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], stdout=subprocess.DEVNULL).pid"
    )
    program = (
        "import os, subprocess, sys, time; from pathlib import Path; from gateway.demo.child import Child; "
        f"print({start}, flush=True); time.sleep(60)"
    )
    starter = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    pidfd = os.pidfd_open(pid)
    starter.kill()
    starter.wait()
    starter.stdout.close()
    if tied:
        assert _ends(pidfd)
    else:
        assert not select.select([pidfd], [], [], 0.5)[0]
        os.kill(pid, signal.SIGKILL)
    os.close(pidfd)
