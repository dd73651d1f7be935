"""Regeneration under load: after its answer the old key opens nothing, and the other slot never fails, on no worker.

Clients record when each request began and ended; afterwards one judge looks at all of them. The judge is shown to be
able to find something by giving it times that are a little too early.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from running_gateway import JSON, RunningGateway
from wire import bearer

SERVICE = "rotated"
ROUNDS = 24
CLIENTS = 8
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
                status = wire.ask("POST", self.gateway.path(SERVICE), b"{}", headers).status
                self.tries.append(Try(key, began, time.monotonic(), status))


@dataclass(frozen=True)
class History:
    """All keys there were, and all requests."""

    keys: list[Key]
    tries: list[Try]

    def passed_after_end(self, seconds_earlier: float = 0.0) -> list[Try]:
        """Requests that a replaced key opened though they began after the answer to its replacement."""
        return [one for one in self.tries if one.status == 200 and one.began > one.key.dead - seconds_earlier]

    def failed_in_life(self) -> list[Try]:
        """Requests that a key in force did not open."""
        return [
            one for one in self.tries if one.status != 200 and one.began >= one.key.born and one.ended <= one.key.asked
        ]


@pytest.fixture(scope="module")
def gateway(start_gateway, start_backend) -> RunningGateway:
    backend = start_backend()
    return start_gateway({SERVICE: {"backends": [backend.url], "max_concurrent_requests_per_container": None}})


@pytest.fixture(scope="module")
def history(gateway: RunningGateway) -> History:
    """Two dozen regenerations, the slots in turn, under the load of eight clients."""
    slots = [Key(value, 0.0) for value in gateway.keys(SERVICE)]
    keys = list(slots)
    load = Load(gateway, (slots[0], slots[1]))
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(load.hammer, number % 2) for number in range(CLIENTS)]
        try:
            for turn in range(ROUNDS):
                slot = turn % 2
                load.pair = (slots[slot], slots[1 - slot])
                slots[slot] = _replace(gateway, slot, slots[slot])
                keys.append(slots[slot])
        finally:
            load.ended.set()
    for client in clients:
        client.result()
    return History(keys, load.tries)


def _replace(gateway: RunningGateway, slot: int, old: Key) -> Key:
    time.sleep(AROUND_SECONDS)
    old.asked = time.monotonic()
    value = gateway.regenerate(SERVICE, ("Primary", "Secondary")[slot])
    old.dead = time.monotonic()
    time.sleep(AROUND_SECONDS)
    return Key(value, old.dead)


def test_the_old_key_opens_nothing_after_the_answer(history: History) -> None:
    """0 requests begun after the 200 of a regeneration pass with the old key, in 24 regenerations with two workers."""
    assert history.passed_after_end() == []


def test_the_other_slot_never_fails(history: History) -> None:
    """0 requests fail with a key that is in force, while the other slot is replaced under it."""
    assert history.failed_in_life() == []


def test_every_regeneration_was_under_load(history: History) -> None:
    """Control: each replaced key was tried before and after its end, passed before, and the other slot was busy."""
    replaced = [key for key in history.keys if key.dead != float("inf")]
    assert len(replaced) == ROUNDS
    for key in replaced:
        own = [one for one in history.tries if one.key is key]
        assert [one.status for one in own if one.began < key.dead].count(200) >= 5
        assert {one.status for one in own if one.began > key.dead} == {401}
        meanwhile = [one for one in history.tries if one.key is not key and one.ended > key.asked - AROUND_SECONDS]
        assert any(one.began < key.dead + AROUND_SECONDS and one.status == 200 for one in meanwhile)


def test_the_judge_finds_what_came_too_early(history: History) -> None:
    """Control: told that the answers came 50 ms before they did, the judge finds old keys that passed."""
    found = {one.key.value for one in history.passed_after_end(seconds_earlier=0.05)}
    assert len(found) >= ROUNDS / 2


def test_a_given_key(gateway: RunningGateway) -> None:
    """An admin may set a key of their own choosing; it is the key at once, and the one before is none."""
    before = gateway.keys(SERVICE)[0]
    assert gateway.regenerate(SERVICE, "Primary", "chosen-by-the-admin-0123456789") == "chosen-by-the-admin-0123456789"
    assert gateway.score(SERVICE, "chosen-by-the-admin-0123456789").status == 200
    assert gateway.score(SERVICE, before).status == 401


def test_regenerated_keys_survive_a_restart(start_gateway, start_backend) -> None:
    """What was regenerated is the key after a restart, too; what was replaced stays dead."""
    gateway = start_gateway({SERVICE: {"backends": [start_backend().url]}})
    old, other = gateway.keys(SERVICE)
    new = gateway.regenerate(SERVICE, "Primary")
    assert gateway.stop() == 0
    gateway.start()
    assert gateway.keys(SERVICE) == (new, other)
    assert [gateway.score(SERVICE, key).status for key in (old, new, other)] == [401, 200, 200]
