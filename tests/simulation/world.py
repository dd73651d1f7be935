"""A world: callers, workers on one scoreboard, containers, and what goes wrong between them; all from one seed."""

from __future__ import annotations

import random

from actor_http import Socket
from behaviours import AILING, CALM, CRASHING, FAULTY, HONEST, LYING
from callers import Caller, Manners
from chaos import Chaos
from containers import Container
from fleet import Fleet
from ledger import Ledger, Violation
from transplant import FakeOs, transplanted
from virtual_network import Network
from virtual_time import BOOT, Events, Process

from gateway.core.spec import EjectionSpec, RetrySpec, ServiceSpec


class Trace:
    """What happened, for a person; nothing is written down unless somebody reads it."""

    def __init__(self, events: Events, *, is_read: bool) -> None:
        self.lines: list[str] = []
        self._events = events
        self._is_read = is_read

    def __call__(self, who: object, what: str) -> None:
        if self._is_read:
            self.lines.append(f"{self._events.now - BOOT:10.5f}  {who!s:<12} {what}")


class World:
    """Everything of one seed. `run` ends when nobody has anything left to do, or raises Violation."""

    def __init__(self, seed: int, *, is_read: bool = False) -> None:
        self.seed = seed
        self.rng = random.Random(f"{seed}/world")
        self.events = Events()
        self.trace = Trace(self.events, is_read=is_read)
        self.broken: list[str] = []
        self.process = Process(self.events, "world", self.fail)
        self.network = Network(seed, Process(self.events, "kernel", self.fail))
        self.ledger = Ledger(self.fail)
        self.os = FakeOs()
        self.furnish()

    def fail(self, text: str) -> None:
        """A promise is broken: the run ends with the event in which that happened."""
        self.trace("VIOLATION", text)
        self.broken.append(f"at {self.events.now - BOOT:.5f} s: {text}")

    # --- who lives here; a scripted world says otherwise

    def furnish(self) -> None:
        """How many there are of everything, and of what kind."""
        rng = self.rng
        self.is_calm = rng.random() < 0.1
        self.is_secure = rng.random() < 0.3
        self.workers = rng.randint(1, 4)
        self.manners = self._manners()
        self.containers = [self._any_container(index) for index in range(rng.randint(2, 5))]
        self.service_count = min(rng.choice((1, 1, 2, 3)), len(self.containers))

    def make_container(self, index: int, behaviours: tuple[str, ...]) -> Container:
        """A container that can be reached."""
        container = Container(f"10.0.0.{index + 1}", self.seed, self.process, self.ledger, self.fail)
        container.behaviours = behaviours
        container.trace = self.trace
        self.network.listen(container.address, container.accept)
        return container

    def _any_container(self, index: int) -> Container:
        if self.is_calm:
            return self.make_container(index, CALM)
        kinds = (HONEST, HONEST, CRASHING, AILING, HONEST + FAULTY, HONEST + LYING, HONEST * 2 + FAULTY + LYING)
        container = self.make_container(index, self.rng.choice(kinds))
        container.likes_to_close = self.rng.choice((0.0, 0.0, 0.3))
        return container

    def make_callers(self) -> list[Caller]:
        """Who calls."""
        return [Caller(self, f"c{index}", self.manners) for index in range(self.rng.choice((2, 4, 8, 12)))]

    def make_spec(self, containers: list[Container]) -> ServiceSpec:
        """A service with any of the limits it may have."""
        rng = self.rng
        urls = tuple(container.url for container in containers)
        if self.is_calm:
            return ServiceSpec(
                backends=urls,
                auth_enabled=False,
                max_concurrent_requests_per_container=rng.choice((1, 2, None)),
                max_queue_wait_ms=60_000,
                error_dialect="plain",
            )
        return ServiceSpec(
            backends=urls,
            auth_enabled=False,
            max_concurrent_requests_per_container=rng.choice((1, 1, 1, 2, None)),
            max_queue_wait_ms=rng.choice((0, 100, 1_000, 5_000)),
            max_queue_length=rng.choice((1, 3, 1_000)),
            scoring_timeout_ms=rng.choice((300, 1_500, 5_000)),
            stream_idle_timeout_ms=rng.choice((200, 2_000)),
            connect_timeout_ms=rng.choice((50, 400)),
            on_client_gone=rng.choice(("auto", "drain", "abort")),
            abandon_after_ms=rng.choice((None, 100, 1_000)),
            max_request_bytes=rng.choice((100_000, 104_857_600)),
            retry=RetrySpec(rng.choice((1, 2, 3)), rng.choice((0, 20, 100))),
            ejection=rng.choice((None, self._ejection())),
            load_balancer=rng.choice(("least_outstanding", "round_robin", "power_of_two")),
            error_dialect=rng.choice(("aks", "managed", "plain")),
        )

    def _ejection(self) -> EjectionSpec:
        rng = self.rng
        return EjectionSpec(rng.choice((1, 2, 5)), rng.choice((0.2, 1.0, 30.0)), rng.choice((0, 50, 100)))

    def _manners(self) -> Manners:
        if self.is_calm:
            return Manners()
        rng = self.rng
        return Manners(
            leaves=rng.choice((0.0, 0.2, 0.6)),
            stalls=rng.choice((0.0, 0.1)),
            reads_slowly=rng.choice((0.0, 0.3)),
            talks_nonsense=rng.choice((0.0, 0.1)),
            idles=rng.choice((2.0, 3.0, 3.5)),
        )

    # --- the run

    def run(self) -> None:
        """To the very end. Raises Violation."""
        with transplanted(self.seed, self.events, self.os, self.fail):
            self.fleet = Fleet(self)
            for caller in self.make_callers():
                self.process.act(caller.run())
            self.disturb()
            self.events.on_quiet = self._on_quiet
            self.events.after_each = self.after_each
            try:
                self.events.run()
                self._close()
            except Violation:
                raise
            except Exception as error:
                raise Violation(f"escaped: {error!r}") from error
            finally:
                self._tidy()

    def disturb(self) -> None:
        """Arrange what goes wrong."""
        if not self.is_calm:
            Chaos(self).begin()

    def after_each(self) -> None:
        """After each single event."""
        self._stop_if_broken()

    def _tidy(self) -> None:
        """Nothing is left for the garbage collector to find and to complain about."""
        for life in self.fleet.living():
            life.kill()
        self.process.kill()

    def _close(self) -> None:
        for container in self.containers:
            container.hang_up()
        self.events.run()
        self.fleet.at_rest()
        if self.manners.is_prompt:
            self.fleet.judge_silence()
        if self.is_calm:
            self._all_well()
        self._stop_if_broken()

    def _all_well(self) -> None:
        """Where nothing went wrong, nobody may notice a gateway at all."""
        for fate in self.ledger.fates.values():
            if not (fate.status and fate.reached) and not (fate.is_given_up and not fate.status):
                self.fail(f"{fate.request.id} got {fate.status or 'no answer'} although nothing was wrong")

    def _on_quiet(self, until: float) -> None:
        self.fleet.inspect(until)
        self._stop_if_broken()

    def _stop_if_broken(self) -> None:
        if self.broken:
            raise Violation(self.broken[0])

    async def dial(self, caller: Caller) -> tuple[Socket, str]:
        life = self.fleet.any_accepting(caller.rng)
        address = (f"10.1.0.{caller.name[1:]}", 40_000)
        _, socket = await self.network.connect(self.process, life.address, lambda _: Socket(self.process), address)
        return socket, life.name
