"""Regenerations under load: what clients saw of each key, and a judge over all of it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from running_gateway import JSON, RunningGateway
from wire import bearer

REQUESTS_PER_CONNECTION = 40
AROUND_SECONDS = 0.06
"""How long a key is hammered before it is replaced, and after."""


@dataclass
class Key:
    """One key's life (monotonic seconds): its replacement was asked, and answered."""

    value: str
    born: float
    asked: float = float("inf")
    dead: float = float("inf")


@dataclass(frozen=True)
class Try:
    """One request with a key."""

    key: Key
    began: float
    ended: float
    status: int


@dataclass
class Load:
    """What clients send meanwhile: the key that is being replaced, and the one in the other slot."""

    gateway: RunningGateway
    service: str
    pair: tuple[Key, Key]
    tries: list[Try] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def hammer(self, which: int) -> None:
        """Send until `ended`, from one client: the key being replaced (0), or the other slot's (1)."""
        while not self.ended.is_set():
            self._one_connection(which)

    def _one_connection(self, which: int) -> None:
        with self.gateway.wire() as wire:
            for _ in range(REQUESTS_PER_CONNECTION):
                if self.ended.is_set():
                    return
                key = self.pair[which]
                headers = JSON | bearer(key.value)
                began = time.monotonic()
                status = wire.ask("POST", self.gateway.path(self.service), b"{}", headers).status
                self.tries.append(Try(key, began, time.monotonic(), status))


@dataclass(frozen=True)
class History:
    """All keys there were, and all requests."""

    keys: list[Key]
    tries: list[Try]

    @property
    def replaced(self) -> list[Key]:
        """The keys that were."""
        return [key for key in self.keys if key.dead != float("inf")]

    @property
    def answer_seconds(self) -> list[float]:
        """How long each regeneration took to be answered, shortest first."""
        return sorted(key.dead - key.asked for key in self.replaced)

    def passed_after_end(self, seconds_earlier: float = 0.0) -> list[Try]:
        """Requests that a replaced key opened though they began after the answer to its replacement."""
        return [one for one in self.tries if one.status == 200 and one.began > one.key.dead - seconds_earlier]

    def failed_in_life(self) -> list[Try]:
        """Requests that a key in force did not open."""
        return [
            one for one in self.tries if one.status != 200 and one.began >= one.key.born and one.ended <= one.key.asked
        ]


def regenerations(gateway: RunningGateway, service: str, *, rounds: int, clients: int) -> History:
    """So many regenerations, the slots in turn, under the load of so many clients."""
    slots = [Key(value, 0.0) for value in gateway.keys(service)]
    keys = list(slots)
    load = Load(gateway, service, (slots[0], slots[1]))
    with ThreadPoolExecutor(clients) as pool:
        running = [pool.submit(load.hammer, number % 2) for number in range(clients)]
        try:
            for turn in range(rounds):
                slot = turn % 2
                load.pair = (slots[slot], slots[1 - slot])
                slots[slot] = _replace(gateway, service, slot, slots[slot])
                keys.append(slots[slot])
        finally:
            load.ended.set()
    for one in running:
        one.result()
    return History(keys, load.tries)


def _replace(gateway: RunningGateway, service: str, slot: int, old: Key) -> Key:
    time.sleep(AROUND_SECONDS)
    old.asked = time.monotonic()
    value = gateway.regenerate(service, ("Primary", "Secondary")[slot])
    old.dead = time.monotonic()
    time.sleep(AROUND_SECONDS)
    return Key(value, old.dead)
