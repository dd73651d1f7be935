"""What is done to a gateway under load, and what each of it may cost: one function for each fault.

A fault happens, the gateway gets over it, and a `Cost` says what the clients noticed: how many requests `failed` at
least once before they were answered, which attempts a better gateway would have `saved`, the longest `pause`.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

import process_facts
import yaml
from containers_apart import Container
from keepalive_load import Attempt, Load
from running_gateway import RunningGateway, run_cli

from gateway.supervisor import QUICK_DEATH_SECONDS

WORKERS = 2
RUN_ON = 200
"""Requests after a fault, before the count is taken."""


@dataclass(frozen=True)
class Scene:
    """Who takes part."""

    gateway: RunningGateway
    containers: list[Container]
    load: Load

    def settle(self) -> None:
        """Until everything is as before."""
        self.gateway.until(lambda: len(self.gateway.children()) == WORKERS + 1, 40)
        self.gateway.until(self._is_whole, 40)
        self.load.go_on(RUN_ON)

    def _is_whole(self) -> bool:
        try:
            return self.gateway.metrics()["scoregate_workers_ready",] == WORKERS
        except OSError:
            return False

    def cost(self, since: float, is_due: Callable[[Attempt], bool]) -> Cost:
        """What the clients noticed since then; `is_due`: whether the fault had to cost this attempt."""
        failed = self.load.failed(since)
        return Cost(
            failed=len({attempt.request_id for attempt in failed}),
            saved=[attempt for attempt in failed if not is_due(attempt)],
            pause=self.load.longest_pause(since),
        )


@dataclass(frozen=True)
class Cost:
    """What a fault cost."""

    failed: int
    saved: list[Attempt]
    pause: float


def worker_killed(scene: Scene) -> Cost:
    """A worker ends by kill -9. Due: what was under way on its own connections."""
    victim = min(scene.gateway.workers())
    # One that dies as soon as it has begun is replaced after a pause.
    scene.gateway.until(lambda: process_facts.age(victim) > QUICK_DEATH_SECONDS)
    ports = _stop(victim, scene.load.port)
    since = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    scene.gateway.until(lambda: victim not in scene.gateway.children())
    scene.settle()
    return scene.cost(since, _on(ports))


def worker_hung(scene: Scene) -> Cost:
    """A worker stands still. Due: what was under way on its own connections, once the supervisor has ended it."""
    victim = min(scene.gateway.workers())
    since = time.monotonic()
    ports = _stop(victim, scene.load.port)
    scene.gateway.until(lambda: victim not in scene.gateway.children())
    scene.settle()
    return scene.cost(since, _on(ports))


def control_killed(scene: Scene) -> Cost:
    """The control process ends by kill -9. Due: nothing."""
    victim, since = scene.gateway.control(), time.monotonic()
    os.kill(victim, signal.SIGKILL)
    scene.gateway.until(lambda: scene.gateway.control() != victim)
    scene.settle()
    return scene.cost(since, _nothing)


def container_killed(scene: Scene) -> Cost:
    """One of two containers ends by kill -9 and comes back. Due: 502 for what it was sent before its end."""
    victim, since = scene.containers[0], time.monotonic()
    victim.kill()
    gone = time.monotonic()
    scene.load.go_on(RUN_ON)
    victim.start()
    scene.settle()
    return scene.cost(since, lambda attempt: attempt.outcome.startswith("502") and attempt.began < gone)


def certificate_swapped(scene: Scene) -> Cost:
    """The server certificate is issued anew, and served. Due: nothing."""
    gateway, since = scene.gateway, time.monotonic()
    before = gateway.log()
    made = run_cli(gateway.folder, "certificate", "dev", "--name", f"host-{time.monotonic_ns()}.example")
    assert "made  var/tls/server.crt" in made.stdout, made
    # Each process looks for itself: two workers and the control process.
    gateway.until(lambda: _said(gateway, "is served from now on") - _count(before, "is served from now on") == 3)
    scene.settle()
    return scene.cost(since, _nothing)


def configuration_reloaded(scene: Scene) -> Cost:
    """The file changes and SIGHUP asks to read it. Due: nothing."""
    gateway, since = scene.gateway, time.monotonic()
    file = gateway.folder / "gateway.yaml"
    document = yaml.safe_load(file.read_text())
    for service in document["services"].values():
        service["max_queue_length"] = 1000 + time.monotonic_ns() % 1000
    file.write_text(yaml.safe_dump(document))
    before = _said(gateway, "was read again")
    gateway.process.send_signal(signal.SIGHUP)
    gateway.until(lambda: _said(gateway, "was read again") > before)
    scene.settle()
    return scene.cost(since, _nothing)


def ended_and_started(scene: Scene) -> Cost:
    """SIGTERM, and another start on the same port. Due: connections refused in between, and nothing else."""
    since = time.monotonic()
    assert scene.gateway.stop() == 0
    scene.gateway.start()
    scene.settle()
    return scene.cost(since, lambda attempt: attempt.outcome == "refused")


def _stop(pid: int, port: int) -> set[int]:
    """Halt a process; the client ports of its connections."""
    os.kill(pid, signal.SIGSTOP)
    while not process_facts.is_stopped(pid):
        time.sleep(0.001)
    return process_facts.client_ports(pid, port)


def _on(ports: Collection[int]) -> Callable[[Attempt], bool]:
    return lambda attempt: attempt.port in ports and attempt.outcome in ("closed", "cut", "handshake")


def _nothing(_: Attempt) -> bool:
    return False


def _said(gateway: RunningGateway, text: str) -> int:
    return _count(gateway.log(), text)


def _count(lines: list[dict[str, object]], text: str) -> int:
    return sum(bool(re.search(text, str(line["message"]))) for line in lines)


ALL = (
    worker_killed,
    worker_hung,
    control_killed,
    container_killed,
    certificate_swapped,
    configuration_reloaded,
    ended_and_started,
)
