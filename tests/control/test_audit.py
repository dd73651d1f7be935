"""What changes no record and stands in the audit log all the same; and the store away, and floods."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from gateway.control import audit as module
from gateway.control.audit import AuditLog
from gateway.control.refusal import Refused
from gateway.core.audit import AuditEntry, AuditQuery


def entry(action: str = "issue_token", **fields: str) -> AuditEntry:
    return AuditEntry(at=datetime(2026, 11, 21, 12, tzinfo=UTC), actor="admin", action=action, **fields)


class Site:
    """A log on a store in memory, by a clock that the test turns."""

    def __init__(self, store, thread) -> None:
        self.store, self.now = store, 1000.0
        self.log = AuditLog(store, thread, lambda: self.now)

    def told(self) -> list[str]:
        return [f"{one.action} {one.result}" for one in self.store.entries]

    async def flush(self) -> None:
        """What `run` does once a second."""
        await self.log._flush(self.now)


@pytest.fixture
def site(store):
    with ThreadPoolExecutor(1) as thread:
        yield Site(store, thread)


async def test_added_when_it_returns(site) -> None:
    """What must stand there before it is answered does; while the store is away it is not answered."""
    await site.log.add(entry())
    assert site.told() == ["issue_token done"]
    site.store.broken = True
    with pytest.raises(Refused, match="nothing is done that is not in the audit log") as refused:
        await site.log.add(entry())
    assert refused.value.status == 503


async def test_shown_often_is_told_twice(site) -> None:
    """Keys that a client lists before each of a thousand calls: the first entry at once, and one with the count."""
    for _ in range(1000):
        await site.log.show(entry("get_keys"))
    assert site.told() == ["get_keys done"]
    site.now += 600
    await site.flush()
    assert site.told() == ["get_keys done", "get_keys done, 999 more times since"]
    await site.log.show(entry("get_keys"))
    assert len(site.store.entries) == 3


async def test_keys_are_shown_while_the_store_is_away(site) -> None:
    """The entry waits, and is written when the store is back."""
    site.store.broken = True
    await site.log.show(entry("get_keys"))
    await site.flush()
    assert site.told() == []
    site.store.broken = False
    await site.flush()
    await site.flush()
    assert site.told() == ["get_keys done"]


async def test_a_flood_of_refusals_costs_a_few_entries(site) -> None:
    """Twenty thousand attempts from a thousand addresses: memory and disk take what a few hundred take."""
    for number in range(20_000):
        site.log.refuse(entry("get_keys", address=f"198.51.{number % 1000 // 250}.{number % 250}", result="401"))
    await site.flush()
    assert len(site.store.entries) == module.MAX_REFUSALS + 1
    site.now += 600
    await site.flush()
    assert len(site.store.entries) == 2 * (module.MAX_REFUSALS + 1)
    counted = sum(int(one.result.split()[1]) for one in site.store.entries[module.MAX_REFUSALS + 1 :])
    assert counted + module.MAX_REFUSALS + 1 == 20_000


async def test_what_waits_is_bounded(site, monkeypatch) -> None:
    """A store that is away for a year does not fill the memory."""
    monkeypatch.setattr(site.log, "_waiting", module.deque(maxlen=5))
    site.store.broken = True
    for number in range(50):
        site.log.reloaded(number, "hash")
    site.store.broken = False
    await site.flush()
    assert [one.target for one in site.store.entries] == [f"configuration hash: {n}" for n in range(45, 50)]


async def test_what_comes_while_it_is_written_waits_its_turn(site) -> None:
    """Nothing is lost or doubled when entries arrive during a write."""
    site.log.refuse(entry(address="a", result="401"))
    writing = asyncio.create_task(site.flush())
    await asyncio.sleep(0)
    site.log.refuse(entry(address="b", result="401"))
    await writing
    await site.flush()
    assert [one.address for one in site.store.entries] == ["a", "b"]


async def test_the_gateway_tells_what_it_does_itself(site, monkeypatch) -> None:
    """Starts, reloads and another bootstrap token, each with its actor; written by the loop of the log."""
    monkeypatch.setattr(module, "FLUSH_SECONDS", 0.01)
    running = asyncio.create_task(site.log.run())
    await site.log.started(2, "abc")
    site.log.reloaded("added adult", "def")
    site.log.token_replaced()
    async with asyncio.timeout(5):
        while len(site.store.entries) < 3:
            await asyncio.sleep(0.01)
    running.cancel()
    assert [(one.actor, one.action, one.target) for one in site.store.entries] == [
        ("gateway", "start", "configuration abc, 2 services"),
        ("configuration", "reload", "configuration def: added adult"),
        ("gateway", "replace_admin_token", ""),
    ]


async def test_the_end_writes_what_was_only_counted(site) -> None:
    """A gateway that is stopped leaves nothing untold."""
    for _ in range(5):
        site.log.refuse(entry(result="403"))
        await site.log.show(entry("get_keys"))
    await site.log.close()
    assert site.told() == [
        "get_keys done",
        "issue_token 403",
        "issue_token 403, 4 more times since",
        "get_keys done, 4 more times since",
    ]


async def test_reading(site) -> None:
    """Entries come back by query; a store that is away is 503."""
    await site.log.add(entry(service="diabetes"))
    await site.log.add(entry(service="adult"))
    assert [one.service for one in await site.log.read(AuditQuery(service="adult"))] == ["adult"]
    site.store.broken = True
    with pytest.raises(Refused):
        await site.log.read(AuditQuery())
