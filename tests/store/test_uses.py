"""The uses of keys, kept by the hour, on every database there is a form for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from gateway.core.record import FormerKey, KeyRecord, KeyUseRecord, Sealed, ServiceRecord
from gateway.core.store import Store

NOON = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
HOUR = 495_000


def made(store: Store, name: str = "diabetes") -> KeyRecord:
    """A service with one key, stored."""
    key = KeyRecord(service=name, slot="primary", id=f"k_{name}", version=1, value=Sealed("d1", b"x"), created_at=NOON)
    service = ServiceRecord(name=name, origin="file", spec=None, created_at=NOON, updated_at=NOON)
    store.create_service(service, [key])
    return key


def used(hour: int = HOUR, uses: int = 1, *, key: str = "k_diabetes", of: str = "diabetes") -> KeyUseRecord:
    return KeyUseRecord(of, key, hour, uses, hour * 3600 + uses)


def test_uses_add_up(opened: Callable[[], Store]) -> None:
    """Two processes that count the same key in the same hour: the sum is kept, and the later time."""
    one, two = opened(), opened()
    made(one)
    one.add_key_uses([used(uses=5), used(HOUR + 1)])
    two.add_key_uses([used(uses=2)])
    assert sorted(one.key_uses(0), key=lambda use: use.hour) == [
        KeyUseRecord("diabetes", "k_diabetes", HOUR, 7, HOUR * 3600 + 5),
        used(HOUR + 1),
    ]
    assert one.key_uses(HOUR + 1) == [used(HOUR + 1)]


def test_uses_of_a_service_that_is_gone_are_left_out(store: Store) -> None:
    """A worker may still report them; the others are kept all the same, and with the service its uses go."""
    made(store)
    store.add_key_uses([used(of="gone", key="k_gone"), used()])
    assert store.key_uses(0) == [used()]
    store.add_key_uses([used(of="gone", key="k_gone")])
    store.add_key_uses([])
    store.delete_service("diabetes")
    assert store.key_uses(0) == []


def test_old_uses_are_forgotten_but_for_the_last(store: Store) -> None:
    """When a key was last used stays known for as long as there is the key; of one that is gone nothing is kept."""
    key = made(store)
    store.replace_key(replace(key, version=2, id="k_new", former=FormerKey("k_diabetes", key.value, NOON)))
    uses = [used(HOUR), used(HOUR + 1), used(HOUR, key="k_gone"), used(HOUR + 9, key="k_gone")]
    store.add_key_uses(uses)
    store.forget_key_uses(HOUR + 5)
    assert {(use.key_id, use.hour) for use in store.key_uses(0)} == {("k_diabetes", HOUR + 1), ("k_gone", HOUR + 9)}


def test_the_life_of_a_key_comes_back_as_it_was(opened: Callable[[], Store]) -> None:
    """When it expires, since when it is counted, and the value it replaced."""
    key = made(opened())
    changed = replace(
        key,
        version=2,
        expires_at=NOON + timedelta(days=30),
        counted_from=NOON,
        former=FormerKey("k_former", Sealed("d0", b"\0former\xff"), NOON + timedelta(hours=1)),
    )
    opened().replace_key(changed)
    again = opened()
    assert again.key_pair("diabetes") == {"primary": changed}
    again.replace_key(replace(key, version=3))
    assert opened().keys() == [replace(key, version=3)]
