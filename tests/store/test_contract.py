"""The Store protocol, method by method, on every database there is a form for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from gateway.core.record import (
    DataKeyRecord,
    InstallationRecord,
    KeyRecord,
    Sealed,
    ServiceRecord,
)
from gateway.core.spec import (
    ClassicEndpointSpec,
    ClassicSpec,
    CorsSpec,
    DeploymentSpec,
    KeysSpec,
    RateLimitSpec,
    RequestHeadersSpec,
    ServiceSpec,
)
from gateway.core.store import Conflict, Store, StoreError
from gateway.store.sql import SqlStore

NOON = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
SPEC = ServiceSpec(backends=("http://127.0.0.1:5001",))
RICH_SPEC = ServiceSpec(
    description="Grüße \0 and a nul",
    tags={"team": "ml"},
    deployments={
        "blue": DeploymentSpec(("http://b:1",), 90),
        "green": DeploymentSpec(("http://g:1", "http://g:2"), 10),
    },
    auth_enabled=False,
    token_auth_enabled=True,
    swagger_path=None,
    health=None,
    example={"data": [[1, 2.5, None]]},
    max_concurrent_requests_per_container=None,
    cors=CorsSpec(("https://app.example.com",)),
    rate_limits=(RateLimitSpec("burst", 10, 0.5, 20),),
    request_headers=RequestHeadersSpec({"x-a": "b"}, ("cookie",)),
)


def service(name: str = "diabetes", **changes: object) -> ServiceRecord:
    fields = {"name": name, "origin": "api", "spec": SPEC, "created_at": NOON, "updated_at": NOON, **changes}
    return ServiceRecord(**fields)


def key(slot: str = "primary", version: int = 1, of: str = "diabetes") -> KeyRecord:
    sealed = Sealed("d1", f"{of}/{slot}/{version}".encode())
    return KeyRecord(
        service=of, slot=slot, id=f"k_{of}_{slot}_{version}", version=version, value=sealed, created_at=NOON
    )


def pair(of: str = "diabetes") -> list[KeyRecord]:
    return [key("primary", of=of), key("secondary", of=of)]


def data_key(name: str, age: int) -> DataKeyRecord:
    return DataKeyRecord(name, "m1", name.encode() * 8, NOON - timedelta(microseconds=age))


def installation(name: str = "i1") -> InstallationRecord:
    return InstallationRecord(name, Sealed("d1", b"\0digest\xff"), NOON)


def test_a_new_store_is_empty(store: Store) -> None:
    """Nothing is there before anything was written, and asking for it is no error."""
    store.ping()
    assert store.installation() is None
    assert [list(store.data_keys()), list(store.services()), list(store.keys()), list(store.signing_keys())] == [[]] * 4
    assert store.revocations() == []
    assert store.key_pair("diabetes") == {}
    assert store.delete_service("diabetes") is False


def test_founding_happens_once(opened: Callable[[], Store]) -> None:
    """The first founder's records stay whole; the second one is told, and leaves no data key behind."""
    one, two = opened(), opened()
    one.found(installation(), data_key("d1", 0))
    with pytest.raises(Conflict, match="founded"):
        two.found(installation("i2"), data_key("d2", 0))
    assert two.installation() == installation()
    assert two.data_keys() == [data_key("d1", 0)]


def test_data_keys_come_oldest_first_and_are_replaced_by_id(store: Store) -> None:
    """Rewrapping replaces rows in place, all of them, and the newest stays the last."""
    store.put_data_keys([data_key("a", 1), data_key("b", 3)])
    rewrapped = [replace(data_key("b", 3), wrapped=b"new", master_key_id="m2"), data_key("c", 2)]
    store.put_data_keys(rewrapped)
    store.put_data_keys([])
    assert store.data_keys() == [*rewrapped, data_key("a", 1)]


@pytest.mark.parametrize("spec", [SPEC, RICH_SPEC, None])
def test_a_service_comes_back_as_it_was(opened: Callable[[], Store], spec: ServiceSpec | None) -> None:
    """Every kind of value in a spec survives, and so does its absence for a service of the file."""
    record = service(spec=spec, origin="api" if spec else "file")
    opened().create_service(record, pair())
    again = opened()
    assert again.services() == [record]
    assert again.key_pair("diabetes") == {"primary": key("primary"), "secondary": key("secondary")}


def test_services_come_by_name(store: Store) -> None:
    """By code point, whatever the collation of the database."""
    for name in ("mno", "a-z", "abc", "a-b"):
        store.create_service(service(name), pair(name))
    assert [record.name for record in store.services()] == ["a-b", "a-z", "abc", "mno"]
    assert len(store.keys()) == 8


def test_a_name_is_given_once(opened: Callable[[], Store]) -> None:
    """The second service of a name is refused, and neither its spec nor its keys replace the first one's."""
    one, two = opened(), opened()
    one.create_service(service(), pair())
    with pytest.raises(Conflict, match="diabetes exists"):
        two.create_service(service(spec=RICH_SPEC), [])
    assert two.services() == [service()]
    assert len(two.key_pair("diabetes")) == 2


def test_a_service_without_its_keys_is_never_written(store: Store) -> None:
    """When a key cannot be inserted, the service is not there either."""
    store.create_service(service(), pair())
    with pytest.raises(Conflict):
        store.create_service(service("other"), [key(of="other"), replace(key(of="other"), slot="secondary")])
    assert [record.name for record in store.services()] == ["diabetes"]
    assert len(store.keys()) == 2


def check_stale_update_is_refused(store: Store) -> None:
    store.create_service(service(), [])
    changed = service(spec=RICH_SPEC, version=2, updated_at=NOON + timedelta(hours=1))
    store.update_service(changed)
    with pytest.raises(Conflict):
        store.update_service(service(version=2))
    with pytest.raises(Conflict):
        store.update_service(service(version=4))
    with pytest.raises(Conflict):
        store.update_service(service("nobody", version=2))
    assert store.services() == [changed]


def check_stale_key_is_refused(store: Store) -> None:
    store.create_service(service(), pair())
    store.replace_key(key("primary", 2))
    for stale in (
        key("primary", 2),
        key("primary", 1),
        key("primary", 4),
        key("secondary", 3),
        key(version=2, of="no"),
    ):
        with pytest.raises(Conflict):
            store.replace_key(replace(stale, id="k_stale"))
    assert store.key_pair("diabetes") == {"primary": key("primary", 2), "secondary": key("secondary")}


def test_a_service_changed_by_another_is_not_overwritten(store: Store) -> None:
    """An update goes through from the version it was read at, and from no other."""
    check_stale_update_is_refused(store)


def test_a_key_regenerated_by_another_is_not_overwritten(store: Store) -> None:
    """A slot is replaced from the version it was read at, and the other slot is left alone."""
    check_stale_key_is_refused(store)


class WithoutComparison(SqlStore):
    """Broken on purpose: it swaps without comparing."""

    def update_service(self, record: ServiceRecord, keys: Sequence[KeyRecord] = ()) -> None:
        stored = {known.name: known.version for known in self.services()}
        super().update_service(replace(record, version=stored.get(record.name, 0) + 1), keys)

    def replace_key(self, record: KeyRecord) -> None:
        stored = self.key_pair(record.service)[record.slot].version
        super().replace_key(replace(record, version=stored + 1))


@pytest.mark.parametrize("check", [check_stale_update_is_refused, check_stale_key_is_refused])
def test_control_a_store_that_does_not_compare_is_caught(store: Store, check: Callable[[Store], None]) -> None:
    """The two tests above fail on a store that swaps without comparing."""
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        check(WithoutComparison(store._database))


def test_keys_come_with_an_update(store: Store) -> None:
    """Switching keys on writes the pair with the service; a second pair is refused, and the update with it."""
    store.create_service(service(), [])
    store.update_service(service(version=2), pair())
    assert len(store.key_pair("diabetes")) == 2
    with pytest.raises(Conflict, match="keys already"):
        store.update_service(service(version=3), [replace(key(), id="k_new")])
    assert store.services() == [service(version=2)]


def test_deleting_a_service_deletes_its_keys_alone(store: Store) -> None:
    """Both slots go with it, another service keeps its own, and the name is free again."""
    for name in ("diabetes", "adult"):
        store.create_service(service(name), pair(name))
    assert store.delete_service("diabetes") is True
    assert store.delete_service("diabetes") is False
    assert store.key_pair("diabetes") == {}
    assert len(store.key_pair("adult")) == len(store.keys()) == 2
    store.create_service(service(), pair())


def test_times_come_back_as_utc(opened: Callable[[], Store]) -> None:
    """A time written in another zone names the same microsecond, in UTC."""
    there = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    opened().create_service(service(created_at=there), [])
    back = opened().services()[0].created_at
    assert back == NOON
    assert back.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "spec",
    [
        replace(SPEC, keys=KeysSpec("plain-primary", "plain-secondary")),
        replace(SPEC, classic=ClassicSpec("0" * 32, {"default": ClassicEndpointSpec("1" * 32, KeysSpec("p", "s"))})),
    ],
)
def test_keys_in_a_spec_are_refused(store: Store, spec: ServiceSpec) -> None:
    """A spec that still holds keys is never written: they would stand there in plain text."""
    with pytest.raises(ValueError, match="holds keys") as caught:
        store.create_service(service(spec=spec), [])
    assert "plain-primary" not in str(caught.value)
    store.create_service(service(), [])
    with pytest.raises(ValueError, match="holds keys"):
        store.update_service(service(spec=spec, version=2))
    assert store.services() == [service()]


def test_of_many_at_once_one_wins(opened: Callable[[], Store]) -> None:
    """Regenerations that start from the same version on connections of their own: one holds, the others are told."""
    stores = [opened() for _ in range(4)]
    stores[0].create_service(service(), pair())
    for version in range(2, 12):
        outcomes: list[str] = []
        start = threading.Barrier(len(stores))
        threads = [
            threading.Thread(target=_regenerate, args=(store, version, str(index), start, outcomes))
            for index, store in enumerate(stores)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["conflict"] * 3 + ["won"]
        assert stores[0].key_pair("diabetes")["primary"].version == version


def _regenerate(store: Store, version: int, name: str, start: threading.Barrier, outcomes: list[str]) -> None:
    start.wait()
    try:
        store.replace_key(replace(key(version=version), id=f"k_{version}_{name}"))
    except Conflict:
        outcomes.append("conflict")
    else:
        outcomes.append("won")


def test_a_store_is_used_from_one_thread_after_another(store: Store) -> None:
    """Calls come from an executor, whose threads change."""
    store.create_service(service(), pair())
    for version in (2, 3, 4):
        with ThreadPoolExecutor(1) as executor:
            executor.submit(store.replace_key, key(version=version)).result()
    assert store.key_pair("diabetes")["primary"] == key(version=4)


def test_a_spec_changed_by_hand_is_named(store: Store) -> None:
    """A row that does not read is told by service and key, without repeating what stands there."""
    store.create_service(service(), [])
    with store._database.transaction() as connection:
        connection.exec_driver_sql("""UPDATE services SET spec = '{"backends": ["hunter2"]}'""")
    with pytest.raises(StoreError, match=r"service diabetes does not read \(backends\.0") as caught:
        store.services()
    assert "by hand" in str(caught.value)
