"""What goes wrong in a world, and what is changed in the middle of it: at moments that follow from the seed."""

from __future__ import annotations

import dataclasses
import random
from typing import TYPE_CHECKING

from gateway.core.spec import ServiceSpec

if TYPE_CHECKING:
    from world import World

DURATION = 5.0


class Chaos:
    """Kills, drains, outages and updates of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = random.Random(f"{world.seed}/chaos")
        self._fleet = world.fleet
        self._away: dict[str, ServiceSpec] = {}

    def begin(self) -> None:
        """Arrange everything."""
        rng = self._rng
        acts = (self._kill, self._drain, self._outage, self._silence, self._change, self._change, self._take_away)
        for _ in range(rng.choice((0, 1, 3, 8))):
            self._later(rng.random() * DURATION, rng.choice(acts))

    def _later(self, seconds: float, act: object, *arguments: object) -> None:
        self._world.process.call_later(seconds, act, *arguments)  # type: ignore[arg-type]

    def _kill(self) -> None:
        lives = [life for life in self._fleet.living() if life.is_accepting]
        if lives:
            self._fleet.kill(self._rng.choice(lives))

    def _drain(self) -> None:
        lives = [life for life in self._fleet.living() if life.is_accepting]
        if lives:
            self._fleet.drain(self._rng.choice(lives))

    def _outage(self) -> None:
        """A container crashes; the probes see it some time later, and again when it is back."""
        container = self._rng.choice(self._world.containers)
        self._world.trace(container.name, "down")
        container.go_down()
        back = self._rng.random() * 3
        self._later(back, setattr, container, "is_up", True)
        if self._rng.random() < 0.7:
            seen = self._rng.random() * back
            self._later(seen, self._tell, container.url, False)
            self._later(back + self._rng.random(), self._tell, container.url, True)

    def _tell(self, url: str, healthy: bool) -> None:
        container = next(each for each in self._world.containers if each.url == url)
        self._world.trace(container.name, f"is said to be {'up' if healthy else 'down'}")
        self._fleet.tell_health(container, healthy=healthy)

    def _silence(self) -> None:
        """A container's machine drops packets: connections are never answered."""
        container = self._rng.choice(self._world.containers)
        self._world.trace(container.name, "silent")
        container.is_silent = True
        self._later(self._rng.random() * 2, setattr, container, "is_silent", False)

    def _change(self) -> None:
        """Another spec for a service: other limits, one container more or fewer."""
        if not self._fleet.specs:
            return
        name = self._rng.choice(list(self._fleet.specs))
        owners = self._fleet.owners[name]
        chosen = self._rng.sample(owners, self._rng.randint(1, len(owners)))
        old = self._fleet.specs[name]
        new = dataclasses.replace(self._world.make_spec(chosen))
        self._fleet.specs[name] = self._rng.choice((new, dataclasses.replace(old, backends=new.backends)))
        self._fleet.publish(full=self._rng.random() < 0.3)

    def _take_away(self) -> None:
        """A service is deleted, and made again some time later."""
        if not self._fleet.specs:
            return
        name = self._rng.choice(list(self._fleet.specs))
        self._away[name] = self._fleet.specs.pop(name)
        self._fleet.publish(removed=(name,))
        self._later(self._rng.random(), self._bring_back, name)

    def _bring_back(self, name: str) -> None:
        self._fleet.specs[name] = self._away[name]
        self._fleet.publish()
