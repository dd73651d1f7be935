"""Named callers in the store, on every database there is a form for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import text

from gateway.core.caller import CallerLimitSpec, CallerSpec
from gateway.core.record import CallerRecord, FormerKey, Sealed, ServiceRecord
from gateway.core.spec import ServiceSpec
from gateway.core.store import Conflict, Store, StoreError

NOON = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
RICH = CallerSpec(
    verbs=("score",),
    expires_at=datetime(2030, 1, 1, tzinfo=UTC),
    rate_limits=(CallerLimitSpec("burst", 10, 0.5, 20), CallerLimitSpec("daily", 1000, 86400.0)),
)


def caller(name: str = "acme", of: str = "diabetes", **changes: object) -> CallerRecord:
    fields = {
        "service": of,
        "name": name,
        "id": f"k_{of}_{name}",
        "version": 1,
        "value": Sealed("d1", b"\0sealed\xff"),
        "spec": CallerSpec(),
        "created_at": NOON,
        "regenerated_at": NOON,
        **changes,
    }
    return CallerRecord(**fields)


@pytest.fixture(autouse=True)
def _services(store: Store) -> None:
    """Two services, without keys of their own."""
    for name in ("diabetes", "risk"):
        spec = ServiceSpec(backends=("http://b",))
        record = ServiceRecord(name=name, origin="api", spec=spec, created_at=NOON, updated_at=NOON)
        store.create_service(record, [])


def test_a_caller_comes_back_as_it_was(opened: Callable[[], Store]) -> None:
    """All fields, on other connections; also with a former key, whatever the time zone it was written in."""
    east = NOON.astimezone(timezone(timedelta(hours=9)))
    former = FormerKey("k_old", Sealed("d0", b"old"), east)
    records = [
        caller(),
        caller("rich", spec=RICH, former=former, version=7, regenerated_at=east),
        caller("acme", "risk"),
    ]
    for record in records:
        opened().create_caller(record)
    assert sorted(opened().callers(), key=lambda record: (record.service, record.name)) == records


def test_a_name_is_given_once_in_a_service(store: Store) -> None:
    """The second of a name is told, and the first stays."""
    store.create_caller(caller())
    with pytest.raises(Conflict, match="acme"):
        store.create_caller(caller(id="k_other", spec=RICH))
    assert store.callers() == [caller()]


def test_a_caller_belongs_to_a_service(store: Store) -> None:
    """None is made for a service that is not there; with its service it goes, and the others stay."""
    with pytest.raises(Conflict):
        store.create_caller(caller(of="never"))
    store.create_caller(caller())
    store.create_caller(caller(of="risk"))
    store.delete_service("diabetes")
    assert store.callers() == [caller(of="risk")]


def test_a_caller_changed_by_another_is_not_overwritten(store: Store) -> None:
    """Only the next version of what is stored takes its place; of one that is gone there is none."""
    store.create_caller(caller())
    store.create_caller(caller(of="risk"))
    after = caller(version=2, spec=RICH, id="k_new", former=FormerKey("k_diabetes_acme", Sealed("d1", b"x"), NOON))
    store.replace_caller(after)
    for stale in (replace(after, id="k_3"), replace(after, version=4), caller("nobody", version=2)):
        with pytest.raises(Conflict, match="somebody else"):
            store.replace_caller(stale)
    assert sorted(store.callers(), key=lambda record: record.service) == [after, caller(of="risk")]


def test_revoked_is_gone(store: Store) -> None:
    """One is deleted, once; its namesake of another service stays."""
    store.create_caller(caller())
    store.create_caller(caller(of="risk"))
    assert [store.delete_caller("diabetes", "acme") for _ in range(2)] == [True, False]
    assert store.callers() == [caller(of="risk")]


def test_a_spec_changed_by_hand_is_named(store: Store) -> None:
    """What does not read is told with service and caller, and what to do."""
    store.create_caller(caller())
    with closing(store._database.engine.raw_connection()) as connection:
        connection.cursor().execute("UPDATE callers SET spec = '{\"verbs\": [1]}'")
        connection.commit()
    with pytest.raises(StoreError, match=r"caller acme of service diabetes does not read \(verbs\.0") as told:
        store.callers()
    assert "restore a backup" in str(told.value)


def test_no_secret_is_stored_in_the_clear(store: Store) -> None:
    """The columns of a row hold ciphertext beside the id of its data key; the control: the name is readable."""
    store.create_caller(caller())
    with store._database.engine.connect() as connection:
        row = connection.execute(text("SELECT * FROM callers")).mappings().one()
    assert (row["name"], row["data_key_id"], bytes(row["ciphertext"])) == ("acme", "d1", b"\0sealed\xff")
