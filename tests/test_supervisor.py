"""The supervisor with real processes: what dies is replaced, what hangs is ended, and in the end nothing runs."""

from __future__ import annotations

import itertools
import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from gateway.supervisor import end_with_parent

PREAMBLE = """
import os, signal, sys, time
from gateway import journal, supervisor
from gateway.proxy.scoreboard import Scoreboard
from gateway.supervisor import CANNOT_START, Child, Supervisor

journal.configure("info")
supervisor.LOOK_SECONDS = 0.02
supervisor.STOP_MARGIN_SECONDS = 0.3

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

class Board(Scoreboard):
    def vacate(self, number):
        super().vacate(number)
        say("vacated", number)

board = Board(2)
NAMES = {0: "control", 1: "one", 2: "two"}

def steady(number, lives=None):
    # Beats until it is told to end, or for so many seconds.
    def run():
        told, seat = [], board.seat(number)
        for way in (signal.SIGTERM, signal.SIGINT):
            signal.signal(way, lambda way, _: told.append(signal.Signals(way).name))
        signal.signal(signal.SIGHUP, lambda *_: say(NAMES[number], "hup"))
        say(NAMES[number], "up", os.getpid())
        until = time.monotonic() + (lives or 60)
        while not told and time.monotonic() < until:
            seat.beat()
            time.sleep(0.01)
        say(NAMES[number], "ends", *told)
        return 0
    return run

def run(drain_seconds=0.2, **runs):
    numbers = {name: number for number, name in NAMES.items()}
    children = {
        numbers[name]: Child(name, runs.get(name) or steady(numbers[name])) for name in ("control", "one", "two")
    }
    code = Supervisor(board, children, drain_seconds=drain_seconds, let_go=lambda: say("let go")).run()
    say("exits", code)
    sys.exit(code)
"""


class Supervised:
    """A script under way: what it says is read line by line."""

    def __init__(self, script: Path, errors: Path) -> None:
        self._errors = errors
        with errors.open("w") as out:
            self.process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=out, bufsize=0)
        self.said: list[str] = []
        self._rest = b""

    @property
    def log(self) -> str:
        return self._errors.read_text()

    def hear(self, start: str, seconds: float = 15.0) -> str:
        """The next line that begins so; those before it are in `said`."""
        deadline = time.monotonic() + seconds
        while True:
            line = self._line(deadline - time.monotonic())
            assert line is not None, f"{start!r} was not said: {self.said}\n{self.log}"
            self.said.append(line)
            if line.startswith(start):
                return line

    def up(self, *names: str) -> dict[str, int]:
        """Wait until these are up: name → pid."""
        pids: dict[str, int] = {}
        while not set(names) <= set(pids):
            words = self.hear("").split()
            if words[1:2] == ["up"]:
                pids[words[0]] = int(words[2])
        return pids

    def wait(self, seconds: float = 15.0) -> int:
        code = self.process.wait(seconds)
        while (line := self._line(1.0)) is not None:
            self.said.append(line)
        return code

    def _line(self, seconds: float) -> str | None:
        assert self.process.stdout is not None
        while b"\n" not in self._rest:
            readable, _, _ = select.select([self.process.stdout], [], [], max(0.0, seconds))
            data = os.read(self.process.stdout.fileno(), 65_536) if readable else b""
            if not data:
                return None
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def supervise(tmp_path):
    """`supervise(source)`: runs it behind the preamble; whatever is left of it is ended afterwards."""
    running = []

    def start(source: str) -> Supervised:
        script = tmp_path / "script.py"
        script.write_text(PREAMBLE + textwrap.dedent(source))
        running.append(Supervised(script, tmp_path / "errors.txt"))
        return running[-1]

    yield start
    for each in running:
        each.close()


def is_alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def until_gone(*pids: int) -> None:
    deadline = time.monotonic() + 15
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline, "still alive"
        time.sleep(0.01)


# --- what dies


def test_dead_child_is_replaced(supervise) -> None:
    """A child that dies gives back what it held and is replaced; the others are not disturbed."""
    script = supervise("run()")
    pids = script.up("control", "one", "two")
    os.kill(pids["one"], signal.SIGKILL)
    script.hear("vacated 1")
    assert script.up("one")["one"] != pids["one"]
    assert is_alive(pids["two"])
    assert is_alive(pids["control"])
    assert f"one (process {pids['one']}) ended with code -9 and is replaced" in script.log


def test_control_without_reaping_nobody_is_replaced(supervise) -> None:
    """Control: a supervisor that does not look for the dead leaves the seat empty."""
    script = supervise("""
        Supervisor._reap = lambda self: None
        run()
    """)
    pids = script.up("control", "one", "two")
    os.kill(pids["one"], signal.SIGKILL)
    with pytest.raises(AssertionError, match="was not said"):
        script.hear("one up", 1.0)
    os.kill(pids["two"], signal.SIGKILL)
    os.kill(pids["control"], signal.SIGKILL)


def test_child_that_dies_at_once_is_not_hurried(supervise) -> None:
    """A child that cannot live is tried again with longer and longer pauses, while the others serve."""
    script = supervise("""
        def die():
            say("one dies", time.monotonic())
            return 1
        run(one=die)
    """)
    moments = [float(script.hear("one dies").split()[2]) for _ in range(4)]
    pauses = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert [round(pause, 1) for pause in pauses] == pytest.approx([0.2, 0.4, 0.8], abs=0.2)
    assert pauses == sorted(pauses)


def test_child_that_lived_is_replaced_at_once(supervise) -> None:
    """After a long life there is no pause, and the next quick death begins with a short one."""
    script = supervise("""
        supervisor.QUICK_DEATH_SECONDS = 0.2
        run(one=steady(1, lives=0.3))
    """)
    script.hear("one up")
    for _ in range(3):
        script.hear("one ends")
        ended = time.monotonic()
        script.hear("one up")
        assert time.monotonic() - ended < 0.25


def test_child_that_fails_says_why(supervise) -> None:
    """An error that a child lets out is in the log with its name, and the child replaced."""
    script = supervise("""
        def fail():
            say("one fails")
            raise RuntimeError("no heart")
        run(one=fail)
    """)
    script.hear("one fails")
    script.hear("one fails")
    assert "one ended by an error" in script.log
    assert "RuntimeError: no heart" in script.log


def test_no_process_can_be_made(supervise) -> None:
    """When the machine has no process left, the supervisor says so and tries again, and the others live on."""
    script = supervise("""
        supervisor.MAX_PAUSE_SECONDS = 0.2
        fork, calls = os.fork, []
        def rarely():
            calls.append(1)
            if len(calls) in (2, 3):
                raise BlockingIOError(11, "Resource temporarily unavailable")
            return fork()
        os.fork = rarely
        run()
    """)
    pids = script.up("control", "one", "two")
    assert len(pids) == 3
    assert "cannot be started: [Errno 11] Resource temporarily unavailable" in script.log


# --- what cannot start


def test_child_that_cannot_start_ends_the_whole(supervise) -> None:
    """Where no restart would help, everything ends with exit code 1, in order."""
    script = supervise("run(one=lambda: CANNOT_START)")
    assert script.wait() == 1
    assert script.said[-1] == "exits 1"
    assert not any("one up" in line for line in script.said)


def test_child_that_ran_before_may_come_back(supervise) -> None:
    """A child that ran and then cannot start, since its store is away, ends nobody: it is tried again."""
    script = supervise("""
        lives = []
        def first_well():
            if board.state(1):
                say("one cannot")
                return CANNOT_START
            board.seat(1).set_state(1)
            return steady(1, lives=0.3)()
        board.vacate = lambda number: None
        run(one=first_well)
    """)
    for _ in range(2):
        script.hear("one cannot")
    assert script.process.poll() is None


# --- what hangs


def test_silent_child_is_ended(supervise) -> None:
    """A child whose loop stands still is killed and replaced."""
    script = supervise("""
        supervisor.SILENCE_SECONDS = 0.3
        def hang():
            say("one up", os.getpid())
            board.seat(1).beat()
            time.sleep(60)
        run(one=hang)
    """)
    first = script.up("one")["one"]
    assert script.up("one")["one"] != first
    assert "turns its loop no more and is ended" in script.log
    assert not is_alive(first)


def test_child_that_never_spoke_is_ended(supervise) -> None:
    """A child that hangs before its first heartbeat is not waited for for ever."""
    script = supervise("""
        supervisor.FIRST_BEAT_SECONDS = 0.3
        def hang():
            say("one up", os.getpid())
            time.sleep(60)
        run(one=hang)
    """)
    first = script.up("one")["one"]
    assert script.up("one")["one"] != first


def test_stopped_child_is_ended(supervise) -> None:
    """A child that was stopped by somebody else is replaced like one that hangs."""
    script = supervise("supervisor.SILENCE_SECONDS = 0.3\nrun()")
    pids = script.up("control", "one", "two")
    os.kill(pids["one"], signal.SIGSTOP)
    assert script.up("one")["one"] != pids["one"]


# --- signals and the end


@pytest.mark.parametrize("way", [signal.SIGTERM, signal.SIGINT])
def test_end_in_order(supervise, way: signal.Signals) -> None:
    """The signal reaches everyone: workers first, then the control process; what was kept for successors is let go."""
    script = supervise("run()")
    pids = script.up("control", "one", "two")
    script.process.send_signal(way)
    assert script.wait() == 0
    ends = [line for line in script.said if "ends" in line]
    assert sorted(ends[:2]) == [f"one ends {way.name}", f"two ends {way.name}"]
    assert ends[2:] == [f"control ends {way.name}"]
    assert script.said.index("let go") < script.said.index(ends[0])
    assert script.said[-1] == "exits 0"
    until_gone(*pids.values())
    assert "is replaced" not in script.log


def test_child_that_does_not_end_is_killed(supervise) -> None:
    """When the time to drain is over, what is left is killed, and said."""
    script = supervise("""
        def deaf():
            for way in (signal.SIGTERM, signal.SIGINT):
                signal.signal(way, signal.SIG_IGN)
            say("one up", os.getpid())
            while True:
                board.seat(1).beat()
                time.sleep(0.01)
        run(one=deaf)
    """)
    pids = script.up("control", "one", "two")
    began = time.monotonic()
    script.process.terminate()
    assert script.wait() == 0
    assert 0.4 < time.monotonic() - began < 5
    assert f"one (process {pids['one']}) did not end in time and is killed" in script.log
    until_gone(*pids.values())


def test_reload_is_passed_on(supervise) -> None:
    """SIGHUP goes to every child, and ends none."""
    script = supervise("run()")
    pids = script.up("control", "one", "two")
    script.process.send_signal(signal.SIGHUP)
    heard = {script.hear("").split()[0] for _ in range(3)}
    assert heard == {"control", "one", "two"}
    assert all(map(is_alive, pids.values()))


SLOW_FORK = """
    fork = os.fork
    def slow():
        pid = fork()
        if pid == 0 and not os.path.exists({mark!r}):
            open({mark!r}, "w").close()
            say("forked")
            time.sleep(0.5)
        return pid
    os.fork = slow
    {broken}
    run(drain_seconds=3)
"""


def test_signal_right_after_the_fork_is_not_lost(supervise, tmp_path) -> None:
    """A signal that reaches a child before it has its own handlers ends it; it is not swallowed by a copy of ours."""
    script = supervise(SLOW_FORK.format(mark=str(tmp_path / "mark"), broken=""))
    script.hear("forked")
    began = time.monotonic()
    script.process.terminate()
    assert script.wait() == 0
    assert time.monotonic() - began < 2
    assert "did not end in time" not in script.log


def test_control_without_blocking_the_signal_is_lost(supervise, tmp_path) -> None:
    """Control: with signals open during the fork the same child never hears of its end and has to be killed."""
    broken = "signal.pthread_sigmask = lambda *_: None"
    script = supervise(SLOW_FORK.format(mark=str(tmp_path / "mark"), broken=broken))
    script.hear("forked")
    script.process.terminate()
    assert script.wait() == 0
    assert "did not end in time and is killed" in script.log


@pytest.mark.skipif(sys.platform != "linux", reason="the death signal of a parent is Linux's")
def test_nothing_outlives_a_killed_supervisor(supervise) -> None:
    """When the supervisor itself is killed, its children end."""
    script = supervise("run()")
    pids = script.up("control", "one", "two")
    script.process.kill()
    script.process.wait()
    until_gone(*pids.values())


def test_orphan_ends_at_once() -> None:
    """A child whose parent died before it could ask for the signal ends by itself."""
    pid = os.fork()
    if pid == 0:
        end_with_parent(1 if os.getppid() != 1 else 2)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
