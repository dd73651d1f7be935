"""The workers of a world, and what supervisor and control process do with them: start, replace, publish, probe."""

from __future__ import annotations

import math
import random
from functools import partial
from typing import TYPE_CHECKING

import promises
from containers import Container
from lives import Life, Loop, MortalSeat

from gateway.core.ejection import OUT
from gateway.core.settings import LoggingSettings, ScoringSettings, Settings
from gateway.core.snapshot import BackendEntry, DeploymentEntry, ServiceEntry, Trust, Update
from gateway.core.spec import ServiceSpec
from gateway.proxy.scoreboard import Scoreboard

if TYPE_CHECKING:
    from world import World

PATIENCE = 0.1
"""How long a permit may lie unused while somebody waits for it: the longest way of a wake-up, and some more."""
DRAIN_SECONDS = 20.0
INSPECTED_EVERY = 0.005


class Fleet:
    """All workers, living and dead, and the services they are told to serve."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = random.Random(f"{world.seed}/fleet")
        self.board = Scoreboard(world.workers)
        self.control = self.board.seat(0)
        self.lives: list[Life] = []
        self.specs: dict[str, ServiceSpec] = {}
        self.owners: dict[str, list[Container]] = {}
        self.rows: dict[str, int] = {}
        self.service_of: dict[str, str] = {}
        self.budgets: dict[str, int] = {}
        self._serial = 0
        self._inspected_at = 0.0
        self._unused_since: dict[tuple[str, int], float] = {}
        self._settings = Settings(
            scoring=ScoringSettings(
                header_timeout_seconds=1.0,
                body_timeout_seconds=1.5,
                keep_alive_seconds=3.0,
                tls=None,
                trusted_proxies=(),
            ),
            logging=LoggingSettings(access_log="world"),
        )
        world.os.poked = self._poked
        self._found()

    def _found(self) -> None:
        """Services on the containers there are; some containers belong to one service alone, as is usual."""
        containers = list(self.world.containers)
        self.rng.shuffle(containers)
        count = self.world.service_count
        for index in range(count):
            name = f"svc{index}"
            self.owners[name] = containers[index::count]
            self.specs[name] = self.world.make_spec(self.owners[name])
            for container in self.owners[name]:
                container.most_at_once = self.most_at_once
                self.service_of[container.url] = name
                self.rows[container.url] = self.control.lend_row(f"{name} default {container.url}")
        self.service_names = list(self.specs)
        for number in range(1, self.board.workers + 1):
            self.start(number)

    # --- the supervisor

    def start(self, number: int) -> Life:
        """A worker on this seat, with the snapshot of now."""
        name = f"w{number}.{sum(life.number == number for life in self.lives)}"
        rng = random.Random(f"{self.world.seed}/{name}")
        loop = Loop(self.world.network, self.world.events, name, self.world.fail, rng)
        seat = MortalSeat(self.board, number, loop, self.world.fail)
        life = Life(number, loop, seat, self._settings)
        life.trace = self.world.trace
        self.lives.append(life)
        life.worker._listener.secure = self.world.is_secure
        seat.most_permits = self._most_permits
        seat.judge_ejection = partial(self._judge_ejection, life)
        self.publish(full=True, only=life)
        self._poked(number - 1)
        self.world.trace(name, "started")
        return life

    def kill(self, life: Life) -> None:
        """The worker dies; the supervisor sees it, gives back what it held, starts another."""
        self.world.trace(life.name, "killed")
        life.kill()
        self.world.process.call_later(self.rng.random() * 0.05, self._replace, life)

    def _replace(self, life: Life) -> None:
        self.board.vacate(life.number)
        self.world.trace(life.name, "replaced")
        self.start(life.number)

    def drain(self, life: Life) -> None:
        """Asked to end: it answers what is under way, then another takes its place."""
        self.world.trace(life.name, "drains")
        life.worker._listener.draining = True
        life.loop.call_later(self.rng.choice((0.0, 0.5)), self._stop_listening, life)

    def _stop_listening(self, life: Life) -> None:
        life.is_accepting = False
        life.worker._listener.drain()
        self._await_drained(life, self.world.events.now + DRAIN_SECONDS)

    def _await_drained(self, life: Life, deadline: float) -> None:
        if not life.is_alive:
            return
        if life.worker._listener.empty.is_set():
            if not life.active:
                promises.at_rest(life, may_keep_connections=True)
            self.kill(life)
        elif self.world.events.now > deadline:
            self.world.fail(f"{life.name} does not end: {len(life.worker._listener.clients)} clients are left")
        else:
            self.world.process.call_later(0.1, self._await_drained, life, deadline)

    def living(self) -> list[Life]:
        return [life for life in self.lives if life.is_alive]

    def any_accepting(self, rng: random.Random) -> Life:
        """Where the kernel puts a new connection. Raises ConnectionRefusedError while nobody listens."""
        lives = [life for life in self.lives if life.is_accepting]
        if not lives:
            raise ConnectionRefusedError
        return rng.choice(lives)

    def _poked(self, descriptor: int) -> None:
        for life in self.living():
            if life.number == descriptor + 1:
                life.loop.call_later(self.rng.random() * 0.002, self._wake, life, descriptor)

    def _wake(self, life: Life, descriptor: int) -> None:
        if self.world.os.counts[descriptor]:
            life.worker._on_wakeup(descriptor)

    # --- the control process

    def publish(self, *, full: bool = False, removed: tuple[str, ...] = (), only: Life | None = None) -> None:
        """What is served now, to every worker, one a little later than the other."""
        self._serial += 1
        update = Update(
            serial=self._serial,
            full=full,
            services=tuple(self._entry(name) for name in self.specs),
            removed=removed,
            trust=Trust(b"k" * 32, "urn:world", ()) if full else None,
        )
        if only is not None:
            self._apply(only, update)
            return
        # One link and one order: a later update never overtakes an earlier one.
        for life in self.living():
            life.loop.call_later(0.03, self._apply, life, update)

    def _apply(self, life: Life, update: Update) -> None:
        for container in self.world.containers:
            self.most_at_once(container)
        kept_old = life.worker._apply(update)
        for name, why in kept_old.items():
            self.world.fail(f"{life.name} kept the old entry of {name}: {why}")
        self.world.trace(life.name, f"serves update {update.serial}")

    def _entry(self, name: str) -> ServiceEntry:
        self.budgets[name] = max(self.budgets.get(name, 0), self.specs[name].retry.budget_percent)
        backends = tuple(BackendEntry(url, self.rows[url]) for url in self.specs[name].backends)
        return ServiceEntry(
            name=name,
            spec=self.specs[name],
            keys=(),
            deployments=(DeploymentEntry("default", 100, backends),),
            born=0.0,
        )

    def tell_health(self, container: Container, *, healthy: bool) -> None:
        """What a probe found."""
        self.control.set_healthy(self.rows[container.url], healthy)

    # --- limits, as they were in force

    def most_at_once(self, container: Container) -> float:
        """The most requests that may be at a container: the highest limit in force since it was last at rest."""
        row = self.rows[container.url]
        now = max((life.limit_of(self.service_of[container.url]) for life in self.living()), default=math.inf)
        is_at_rest = not (container.at_once() or self.control.outstanding(row))
        if is_at_rest and not any(life.worker._desk._queueing for life in self.living()):
            container.ceiling = now
        container.ceiling = max(container.ceiling, now)
        return container.ceiling

    def _most_permits(self, row: int) -> float:
        return next(self.most_at_once(each) for each in self.world.containers if self.rows[each.url] == row)

    def _judge_ejection(self, life: Life, row: int) -> None:
        """No more backends of a service are out than its share."""
        name = next(self.service_of[url] for url, own in self.rows.items() if own == row)
        route = life.worker._table.get(name)
        if route is None:
            return
        rows = [self.rows[url] for url in route.spec.backends]
        out = [each for each in rows if self.control.standing(each) in OUT]
        self.world.trace(life.name, f"ejects row {row} of {name}: {out} of {rows} are out")
        most = 0 if route.spec.ejection is None else route.spec.ejection.max_percent * len(rows) // 100
        if row in rows and len(out) > most:
            self.world.fail(f"{life.name} ejected row {row} of {name}: {out} of {rows} are out, {most} may be")

    # --- what must be true

    def inspect(self, until: float) -> None:
        """What holds whenever time is about to move on, to `until`."""
        if until - self._inspected_at < INSPECTED_EVERY:
            return
        self._inspected_at = self.world.events.now
        for life in self.living():
            promises.inspect(life)
            self._look_for_unused_permits(life, until)

    def _look_for_unused_permits(self, life: Life, until: float) -> None:
        """Nobody waits for a permit that is free, but for the moment that a wake-up takes."""
        now = self.world.events.now
        unused = {
            (life.name, backend.row)
            for pool in life.worker._desk._queueing
            for backend in pool.backends
            if pool
            and backend in pool.candidates(now)
            and self.control.outstanding(backend.row) < (pool._limit or math.inf)
        }
        for key in [key for key in self._unused_since if key[0] == life.name and key not in unused]:
            del self._unused_since[key]
        for key in unused:
            if until - self._unused_since.setdefault(key, now) > PATIENCE:
                self.world.fail(f"{life.name} has requests waiting although a permit of row {key[1]} is free")

    def judge_silence(self) -> None:
        """Who sent a request whole, stayed and listened, has an answer, or there is a record of why it broke off."""
        for life in self.living():
            trips = {trip.exchange.request_id: trip for trip, _ in life.trips}
            broken = {name.partition(".")[0] for name, trip in trips.items() if trip.outcome in ("failed", "timeout")}
            for fate in self.world.ledger.fates.values():
                request_id = fate.request.id
                # A broken connection takes with it what was answered on it before and not read yet.
                was_broken = request_id.partition(".")[0] in broken
                if fate.worker == life.name and fate.is_unanswered and not was_broken:
                    outcome = trips[request_id].outcome if request_id in trips else "nothing"
                    self.world.fail(f"{request_id} got no answer; {life.name} has recorded {outcome}")

    def at_rest(self) -> None:
        """What holds once everybody has left."""
        for life in self.living():
            promises.at_rest(life)
            promises.judge_order(life)
            promises.judge_retries(life, self.budgets)
        for container in self.world.containers:
            if left := self.control.outstanding(self.rows[container.url]):
                self.world.fail(f"{left} permits of {container.name} never came back")
