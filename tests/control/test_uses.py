"""The uses of keys in the control process: stored before a worker is told so, shown, and forgotten in time."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from gateway.control import uses as module
from gateway.control.uses import NEVER, Use, UseKeeper, Uses
from gateway.core.message import Stored
from gateway.core.message import Uses as Told
from gateway.core.record import KeyUseRecord, ServiceRecord

HOUR = 495_000
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def used(hour: int = HOUR, uses: int = 1, key: str = "k_1", of: str = "diabetes") -> KeyUseRecord:
    return KeyUseRecord(of, key, hour, uses, hour * 3600 + 1)


class Clock:
    """Unix seconds, as a test says."""

    def __init__(self, hour: int = HOUR) -> None:
        self.hour = hour

    def __call__(self) -> float:
        return self.hour * 3600 + 1800.0


def test_a_day_of_uses() -> None:
    """This hour and the 24 before it are summed over what all workers told; what is older only tells the last time."""
    clock = Clock()
    uses = Uses([used(HOUR - 25, 100), used(HOUR - 24, 10), used(HOUR, 2)], clock)
    uses.add([used(HOUR, 3)])
    assert uses.of("k_1") == Use(15, datetime.fromtimestamp(HOUR * 3600 + 1, UTC))
    assert uses.of("k_2") == NEVER
    clock.hour += 24
    assert uses.of("k_1").uses_24h == 5
    clock.hour += 1
    assert uses.of("k_1") == Use(0, datetime.fromtimestamp(HOUR * 3600 + 1, UTC))
    assert uses.last_used("k_1") == HOUR * 3600 + 1


def test_what_is_forgotten() -> None:
    """Old hours go; the last use of a key that is still there stays, that of one that is gone does not."""
    uses = Uses([used(), used(key="k_gone"), used(HOUR + 30, key="k_late")], Clock(HOUR + 30))
    uses.forget(HOUR + 6, {"k_1"})
    assert [uses.last_used(key) is not None for key in ("k_1", "k_gone", "k_late")] == [True, False, True]


@pytest.fixture
async def keep(store):
    """`keep(uses)`: a keeper over the store in memory, where there is a service."""
    store.service["diabetes"] = ServiceRecord(
        name="diabetes", origin="api", spec=None, created_at=NOON, updated_at=NOON
    )
    with ThreadPoolExecutor(1) as thread:
        yield lambda uses: UseKeeper(uses, store, thread)


class Ears:
    """Hears that something was stored."""

    def __init__(self) -> None:
        self.heard = asyncio.Event()

    def __call__(self) -> None:
        self.heard.set()

    async def wait(self) -> None:
        async with asyncio.timeout(5):
            await self.heard.wait()


async def running(keeper, ids=frozenset()):
    return asyncio.create_task(keeper.run(lambda: ids))


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_worker_is_told_when_it_is_stored(keep, store, monkeypatch) -> None:
    """Not before: while the store is away nothing is said and nothing is lost, and then it is stored once."""
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    uses, stored = Uses(clock=Clock()), Ears()
    keeper = keep(uses)
    store.broken = True
    task = await running(keeper)
    keeper.keep([used(uses=4)], stored)
    await asyncio.sleep(0.05)
    assert not stored.heard.is_set()
    assert uses.of("k_1") == NEVER
    store.broken = False
    await stored.wait()
    assert [record.uses for record in store.uses.values()] == [4]
    assert uses.of("k_1").uses_24h == 4
    await end(task)


async def test_the_last_uses_are_stored_at_the_end(keep, store) -> None:
    """What came before the end is stored by it; with a store that is away the end does not wait."""
    uses = Uses(clock=Clock())
    keeper = keep(uses)
    keeper.keep([used()], Ears())
    keeper.keep([used(HOUR + 1)], Ears())
    await keeper.close()
    assert len(store.uses) == 2
    store.broken = True
    keeper.keep([used(HOUR + 2)], Ears())
    await keeper.close()
    assert len(store.uses) == 2


async def test_tidied_once_an_hour(keep, store) -> None:
    """With the first uses of an hour, what is older than a day is deleted; between, nothing is."""
    clock = Clock()
    uses = Uses(clock=clock)
    keeper, calls = keep(uses), []
    store.forget_key_uses = calls.append
    task = await running(keeper, {"k_1"})
    for hour, tidied in ((HOUR, []), (HOUR + 30, [HOUR + 6]), (HOUR + 30, [HOUR + 6])):
        clock.hour, stored = hour, Ears()
        keeper.keep([used(hour, key="k_2" if hour == HOUR else "k_1")], stored)
        await stored.wait()
        await asyncio.sleep(0.02)
        assert calls == tidied
    assert uses.last_used("k_2") is None
    assert uses.last_used("k_1") is not None
    await end(task)


async def test_over_the_link(make_rig, make_spec) -> None:
    """A worker's uses are stored and shown, and the worker hears of it; what it repeats counts once."""
    rig = await make_rig({"diabetes": make_spec()})
    worker = await rig.ready_worker("a")
    hour = rig.uses.hour
    told = Told(1, [used(hour, 7)])
    worker.send(told)
    assert await worker.hear_stored() == Stored(1)
    assert rig.uses.of("k_1").uses_24h == 7
    worker.send(told)
    assert await worker.hear_stored() == Stored(1)
    worker.send(Told(2, [used(hour, 1)]))
    assert await worker.hear_stored() == Stored(2)
    assert rig.uses.of("k_1").uses_24h == 8


async def test_repeated_over_a_new_connection(make_rig, make_spec, monkeypatch) -> None:
    """What waits for the store when a worker loses its connection is stored once, and it is told over the new one."""
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    rig = await make_rig({"diabetes": make_spec()})
    worker = await rig.ready_worker("a")
    hour = rig.uses.hour
    rig.store.broken = True
    worker.send(Told(1, [used(hour, 7)]))
    await worker.disconnect()
    await worker.connect()
    await worker.until_received(worker.updates + 1)
    worker.send(Told(1, [used(hour, 7)]))
    rig.store.broken = False
    assert await worker.hear_stored() == Stored(1)
    assert rig.uses.of("k_1").uses_24h == 7


def test_control_a_keeper_that_forgets_to_add_is_seen() -> None:
    """Control: replacing instead of adding loses what another worker told, which the first test sees."""

    class Careless(Uses):
        def add(self, records):
            self._hours, self._last = {}, {}
            super().add(records)

    uses = Careless([used(HOUR, 2)], Clock())
    uses.add([used(HOUR, 3)])
    assert uses.of("k_1").uses_24h != 5
