"""The signing keys of gateways that run: saved, published, then used; by several replicas on one store, too."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from control_memory import MemoryStore

from gateway.control import signing
from gateway.control.keyring import Keyring
from gateway.control.refusal import Refused
from gateway.control.signing import KeyStore, SigningKeys
from gateway.core.audit import GATEWAY, AuditEntry
from gateway.core.settings import Settings, StoreSettings, TokenSettings
from gateway.core.snapshot import Trust
from gateway.core.store import Conflict
from gateway.core.vault import Vault

VAULT = Vault({"d": bytes(32)})
BARE = Trust(b"d" * 32, "urn:scoregate:test", ())
SHARED = StoreSettings(url="postgresql://owner@host/db")
BY_ADMIN = AuditEntry(at=datetime.now(UTC), actor="admin", action="rotate_signing_keys")


@dataclass
class Workers:
    """All workers of a replica: what they were told, and whether they acknowledge."""

    told: list[Trust] = field(default_factory=list)
    acks: asyncio.Event = field(default_factory=asyncio.Event)

    async def publish(self, *, trust):
        self.told.append(trust)
        await self.acks.wait()

    @property
    def kids(self):
        return {key.kid for key in self.told[-1].verifying_keys}


@pytest.fixture
def start():
    """`start(store, **settings)`: a replica; (its keys, its workers)."""
    threads = []

    def make(store, /, **sections):
        settings = replace(Settings(), **sections)
        key_store = KeyStore(settings, store, Keyring(VAULT, bytes(32)))
        threads.append(ThreadPoolExecutor(1))
        workers = Workers()
        workers.acks.set()
        keys = SigningKeys(
            keys=key_store.begin(), trust=BARE, key_store=key_store, thread=threads[-1], publisher=workers
        )
        workers.told.append(keys.trust)
        return keys, workers

    yield make
    for thread in threads:
        thread.shutdown()


def aged(store: MemoryStore, by: timedelta) -> None:
    """As if that much time had passed since everything in the store was made."""
    for kid, record in store.signing.items():
        store.signing[kid] = replace(
            record,
            created_at=record.created_at - by,
            signs_from=record.signs_from and record.signs_from - by,
            not_after=record.not_after and record.not_after - by,
        )


async def test_a_start_trusts_every_key(start, store) -> None:
    """Active and next are published, with issuer and digest key as they were; the active one signs."""
    keys, _ = start(store)
    assert keys.trust == replace(BARE, verifying_keys=keys.trust.verifying_keys)
    assert {key.kid for key in keys.trust.verifying_keys} == set(store.signing)
    assert store.signing[keys.signing.kid].state == "active"


async def test_a_restart_signs_with_the_same_key(start, store) -> None:
    """The private half comes back from the store."""
    first, _ = start(store)
    again, _ = start(store)
    assert again.signing.kid == first.signing.kid
    assert again.signing.to_der() == first.signing.to_der()


async def test_the_new_key_signs_after_the_workers_know(start, store) -> None:
    """Saved first, then published, then acknowledged: until that the old key signs."""
    keys, workers = start(store)
    old, following = keys.signing.kid, next(one.kid for one in keys.records if one.state == "next")
    workers.acks.clear()
    rotating = asyncio.create_task(keys.rotate(revoke=False, audit=BY_ADMIN))
    while len(workers.told) == 1:
        await asyncio.sleep(0.005)
    assert store.signing[following].state == "active"
    assert (keys.signing.kid, rotating.done()) == (old, False)
    assert {old, following} < workers.kids
    workers.acks.set()
    await rotating
    assert keys.signing.kid == following
    assert following in {key.kid for key in workers.told[0].verifying_keys}


async def test_a_retiring_key_has_an_end(start, store) -> None:
    """Workers are told, so that it ends also where nobody can tell them later."""
    keys, workers = start(store)
    old = keys.signing.kid
    await keys.rotate(revoke=False, audit=BY_ADMIN)
    ends = {key.kid: key.not_after for key in workers.told[-1].verifying_keys}
    assert ends.pop(old) == store.signing[old].not_after.timestamp()
    assert set(ends.values()) == {None}


async def test_time_rotates_and_forgets(start, store) -> None:
    """After `signing_key_days` the next key signs, as the gateway's own deed; later the old one is gone everywhere."""
    keys, workers = start(store, tokens=TokenSettings(signing_key_days=2))
    old = keys.signing.kid
    await keys.keep_up()
    assert len(workers.told) == 1
    aged(store, timedelta(days=2))
    await keys.keep_up()
    assert keys.signing.kid != old
    assert old in workers.kids
    told = store.entries[-1]
    assert (told.actor, told.action, told.target) == (GATEWAY, "rotate_signing_keys", keys.signing.kid)
    aged(store, timedelta(days=1, seconds=61))
    await keys.keep_up()
    assert old not in workers.kids
    assert old not in store.signing
    assert len(store.entries) == 1


async def test_nothing_new_is_not_published(start, store) -> None:
    """Workers are not told again and again what they know."""
    keys, workers = start(store)
    for _ in range(5):
        await keys.keep_up()
    assert len(workers.told) == 1
    assert not store.entries


async def test_replicas_found_the_same_keys(start, store) -> None:
    """Both start on an empty store at once: who comes second takes what the first has made."""

    class Slow(MemoryStore):
        """Somebody else founds the keys between its look and its deed."""

        is_empty = True

        def change_signing_keys(self, before, after):
            if self.is_empty:
                self.is_empty = False
                start(self)
            super().change_signing_keys(before, after)

    shared = Slow()
    keys, _ = start(shared)
    assert set(shared.signing) == {record.kid for record in keys.records}
    assert sorted(record.state for record in shared.signing.values()) == ["active", "next"]


async def test_replicas_rotate_once(start, store) -> None:
    """When the day has come for all of them: one does it, the others find it done, and all sign with the same key."""
    replicas = [start(store, store=SHARED) for _ in range(3)]
    aged(store, timedelta(days=30))
    await asyncio.gather(*(keys.keep_up() for keys, _ in replicas))
    for keys, workers in replicas:
        await keys.keep_up()
        assert workers.kids == set(store.signing)
    assert len({keys.signing.kid for keys, _ in replicas}) == 1
    assert sorted(record.state for record in store.signing.values()) == ["active", "next", "retiring"]
    assert len(store.entries) == 1


async def test_a_replica_learns_before_another_signs(start, store) -> None:
    """What signs after a rotation, its workers have known for as long as a key must be published ahead."""
    one, _ = start(store, store=SHARED)
    two, workers = start(store, store=SHARED)
    aged(store, signing.AHEAD)
    await one.rotate(revoke=False, audit=BY_ADMIN)
    assert one.signing.kid in workers.kids
    assert two.signing.kid != one.signing.kid
    await two.keep_up()
    assert two.signing.kid == one.signing.kid


async def test_on_demand_too_soon(start, store) -> None:
    """Where replicas share a store: 409 and when to come again; nothing has changed."""
    keys, workers = start(store, store=SHARED)
    before = dict(store.signing)
    with pytest.raises(Refused, match="another replica may not know it") as caught:
        await keys.rotate(revoke=False, audit=BY_ADMIN)
    assert caught.value.status == 409
    assert 1 <= int(caught.value.headers["Retry-After"]) <= 15
    assert store.signing == before
    assert len(workers.told) == 1


async def test_a_store_that_is_away(start, store, caplog) -> None:
    """Tokens are signed on; a rotation on demand is refused; it is logged once, and goes on by itself."""
    keys, _ = start(store)
    store.broken = True
    old = keys.signing.kid
    for _ in range(3):
        await keys.keep_up()
    with pytest.raises(Refused) as caught:
        await keys.rotate(revoke=False, audit=BY_ADMIN)
    assert caught.value.status == 503
    assert keys.signing.kid == old
    assert caplog.text.count("tokens are signed on") == 1
    store.broken = False
    await keys.rotate(revoke=False, audit=BY_ADMIN)
    assert keys.signing.kid != old


async def test_somebody_else_changes_the_keys_all_the_time(start, store, monkeypatch) -> None:
    """On demand it is said; what time brings waits for its next turn."""
    keys, workers = start(store)

    def lose(*_):
        raise Conflict

    monkeypatch.setattr(store, "change_signing_keys", lose)
    with pytest.raises(Refused) as caught:
        await keys.rotate(revoke=False, audit=BY_ADMIN)
    assert caught.value.status == 409
    aged(store, timedelta(days=30))
    await keys.keep_up()
    assert len(workers.told) == 1


async def test_how_long_a_revocation_must_be_kept(start, store) -> None:
    """Until the last token has expired that any key may have signed."""
    keys, _ = start(store, tokens=TokenSettings(lifetime_seconds=7200, refresh_after_seconds=3600))
    left = keys.last_expiry() - datetime.now(UTC)
    assert timedelta(seconds=7200) < left <= timedelta(seconds=7260)
