"""slowhttptest in its four forms, 500 connections each: all end within the deadlines, and others hardly notice.

What an attack costs another client is told by its p99 before and during it, several times: machines have moods.
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gateway_process import KEY, GatewayProcess
from recorder import HOST

pytestmark = pytest.mark.prove

CONNECTIONS, RATE = 500, 125
DEADLINE_SECONDS = 5
LATE_SECONDS = 8
"""What the tool needs to open 500 connections, and the lingering close."""
DEADLINES = {"slow-headers": 1, "slow-body": 1, "range": 1, "slow-read": 2}
"""How many of them a connection may use up: an answer has one; what is left of it when the next is due, another."""
LONGEST_SECONDS = 25
ROUNDS = 3
TRIES = 3
QUIET_SECONDS = 6.0
PAUSE = 0.002
CLOSED = ("05", "06", "0A")
"""States in which the server has closed and the kernel has nothing more to send: FIN_WAIT2, TIME_WAIT; and LISTEN."""
FORMS = {
    "slow-headers": "-H -i 1 -t GET -x 24",
    "slow-body": "-B -i 1 -t POST -s 8192 -x 10",
    "range": "-R -t HEAD -a 10 -b 3000",
    "slow-read": "-X -w 512 -y 1024 -n 2 -z 32 -k 3",
}


@pytest.fixture(scope="module")
def tool() -> str:
    found = shutil.which("slowhttptest")
    if found is None:
        text = "slowhttptest is missing: apt-get install slowhttptest"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
    return found


@pytest.fixture(scope="module")
def source_url() -> Iterator[str]:
    """A backend in a process of its own: it shall not share a lock with the client that is measured."""
    command = [sys.executable, Path(__file__).parent / "source.py"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://{HOST}:{int(process.stdout.readline())}"
        process.communicate("")


@pytest.fixture(scope="module")
def gateway(start_gateway, source_url: str) -> GatewayProcess:
    """`attacked` is open to everyone, as the tool knows no keys; `other` is the other client's."""
    spec = {
        "backends": [source_url],
        "max_concurrent_requests_per_container": None,
        "scoring_timeout_ms": DEADLINE_SECONDS * 1000,
        "stream_idle_timeout_ms": DEADLINE_SECONDS * 1000,
    }
    seconds = dict.fromkeys(("header_timeout_seconds", "body_timeout_seconds", "keep_alive_seconds"), DEADLINE_SECONDS)
    return start_gateway({"attacked": spec | {"auth_enabled": False}, "other": spec}, tls=False, **seconds)


class Attack:
    """slowhttptest as a process. It is over when the gateway holds none of its connections any more.

    The tool itself does not always notice: where it reads slowly, it goes on reading what it was sent before.
    """

    def __init__(self, tool: str, form: str, gateway: GatewayProcess, folder: Path) -> None:
        url = f"http://{HOST}:{gateway.port}/api/v1/service/attacked/score?length=200000"
        options = [*FORMS[form].split(), "-c", str(CONNECTIONS), "-r", str(RATE), "-l", str(LONGEST_SECONDS), "-u", url]
        self._port = gateway.port
        self._before = open_connections(self._port)
        self.most = 0
        with (folder / f"{form}.txt").open("w") as output:
            self._process = subprocess.Popen(
                [tool, *options], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        # On the internet it would have processors of its own; here it takes what others leave.
        os.sched_setscheduler(self._process.pid, os.SCHED_IDLE, os.sched_param(0))
        self._began = self._looked = time.monotonic()
        self.seconds = 0.0

    def goes_on(self) -> bool:
        """Looks a few times a second."""
        now = time.monotonic()
        if now - self._looked > 0.2:
            self._looked = now
            count = open_connections(self._port) - self._before
            self.most = max(self.most, count)
            is_opening = now - self._began < CONNECTIONS / RATE + 1
            if (self.most and count <= 0 and not is_opening) or now - self._began > LONGEST_SECONDS:
                self.seconds = now - self._began
        return not self.seconds

    def stop(self) -> None:
        """End the tool, once it has opened all its connections."""
        time.sleep(max(0.0, self._began + CONNECTIONS / RATE + 1 - time.monotonic()))
        self._process.terminate()
        self._process.wait(10)


def open_connections(port: int) -> int:
    """Connections that cost a server on this port of 127.0.0.1 something, by the kernel's books."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    states = [line.split()[3] for line in lines if line.split()[1].endswith(f":{port:04X}")]
    return sum(state not in CLOSED for state in states)


class OtherClient:
    """One kept connection, a request every few milliseconds; every answer has to be right."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._connection = socket.create_connection((HOST, gateway.port), timeout=10)
        head = f"POST /api/v1/service/other/score HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {KEY}\r\n"
        self._request = head.encode() + b"Content-Length: 2\r\n\r\n{}"

    def p99(self, is_over: Callable[[], bool]) -> float:
        """Milliseconds, over all requests until it is over."""
        times: list[float] = []
        while not is_over():
            began = time.perf_counter()
            self._connection.sendall(self._request)
            answer = b""
            while not answer.endswith(b"\r\n\r\n{}"):
                answer += self._connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200 ")
            times.append((time.perf_counter() - began) * 1000)
            time.sleep(PAUSE)
        return statistics.quantiles(times, n=100)[98]

    def close(self) -> None:
        self._connection.close()


@pytest.mark.parametrize("form", FORMS)
def test_attack(tool: str, gateway: GatewayProcess, tmp_path: Path, form: str) -> None:
    """All 500 connections are closed within the deadlines; the other client's p99 stays below twice its usual one."""
    found = []
    for _ in range(TRIES):
        quiet, attacked = _measure(tool, gateway, tmp_path, form)
        found.append((round(quiet, 2), round(attacked, 2)))
        if attacked < 2 * quiet:
            break
    else:
        pytest.fail(f"p99 in ms, quiet and attacked: {found}")
    assert gateway.held("attacked", "other") == {}


def _measure(tool: str, gateway: GatewayProcess, folder: Path, form: str) -> tuple[float, float]:
    """Medians of the p99s, quiet and attacked, measured in turn."""
    quiet, attacked = [], []
    for _ in range(ROUNDS):
        client = OtherClient(gateway)
        until = time.monotonic() + QUIET_SECONDS
        quiet.append(client.p99(lambda until=until: time.monotonic() > until))
        attack = Attack(tool, form, gateway, folder)
        try:
            attacked.append(client.p99(lambda attack=attack: not attack.goes_on()))
        finally:
            attack.stop()
            client.close()
        # The third form asks for answers, not for time: its connections end as soon as they have one.
        assert attack.most > (0 if form == "range" else 0.8 * CONNECTIONS)
        assert attack.seconds < DEADLINES[form] * DEADLINE_SECONDS + LATE_SECONDS
    return statistics.median(quiet), statistics.median(attacked)
