"""The audit log on every database: beside its change or not at all, in order, never altered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, create_engine, text

from gateway.core.audit import AuditEntry, AuditQuery
from gateway.core.record import ServiceRecord
from gateway.core.spec import ServiceSpec
from gateway.core.store import Conflict, Store
from gateway.store import open_store
from gateway.store.database import Database, connect
from gateway.store.sql import SqlStore

NOON = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
ALL = AuditQuery()


def entry(**changes: object) -> AuditEntry:
    fields = {"at": NOON, "actor": "admin", "address": "203.0.113.7", "action": "put_service", "service": "diabetes"}
    return AuditEntry(**{**fields, **changes})


def service(version: int = 1) -> ServiceRecord:
    spec = ServiceSpec(backends=("http://127.0.0.1:5001",))
    return ServiceRecord(name="diabetes", origin="api", spec=spec, created_at=NOON, updated_at=NOON, version=version)


def test_an_entry_comes_back_as_it_was(opened: Callable[[], Store]) -> None:
    """Every field survives, the time with its zone; ids are given from 1 and grow."""
    written = [entry(target="primary", result="401, 3 more times"), entry(at=NOON + timedelta(hours=1), address="")]
    opened().add_audit(written)
    assert opened().audit(ALL) == [replace(one, id=number) for number, one in enumerate(written, 1)]


def test_a_change_and_its_entry_are_one(store: Store) -> None:
    """What is changed through `audited` leaves its entry; a change that is refused leaves none."""
    store.audited(entry()).create_service(service(), [])
    with pytest.raises(Conflict):
        store.audited(entry(target="twice")).create_service(service(), [])
    with pytest.raises(Conflict):
        store.audited(entry(target="stale")).update_service(service(version=7))
    store.audited(entry(target="again")).update_service(service(version=2))
    assert [one.target for one in store.audit(ALL)] == ["", "again"]


def test_what_changes_nothing_leaves_no_entry(store: Store) -> None:
    """A read, and a deletion of what is not there, are nothing to tell; the deletion of what is there is."""
    audited = store.audited(entry())
    assert audited.services() == []
    assert audited.delete_service("diabetes") is False
    assert store.audit(ALL) == []
    store.create_service(service(), [])
    assert audited.delete_service("diabetes") is True
    assert len(store.audit(ALL)) == 1


class Forgetful(SqlStore):
    """Broken on purpose: it writes the entry in a transaction of its own, before the change."""

    def audited(self, entry: AuditEntry) -> SqlStore:
        self.add_audit([entry])
        return self


def test_control_an_entry_written_apart_is_seen(url: str) -> None:
    """A store that writes entries apart from their change leaves one that tells of nothing."""
    open_store(url).close()
    store = Forgetful(connect(url))
    store.audited(entry()).create_service(service(), [])
    with pytest.raises(Conflict):
        store.audited(entry(target="twice")).create_service(service(), [])
    assert [one.target for one in store.audit(ALL)] == ["", "twice"]
    store.close()


def test_an_entry_that_cannot_be_written_takes_its_change_with_it(store: Store, url: str) -> None:
    """Without the table there is no audit log, and so no change either."""
    with raw(url) as connection:
        connection.execute(text("DROP TABLE audit"))
    with pytest.raises(Exception, match="audit"):
        store.audited(entry()).create_service(service(), [])
    assert store.services() == []


def test_pages(store: Store) -> None:
    """Oldest first, after an id, so many; or the newest, in the same order; by actor, service, action."""
    for number in range(1, 11):
        name = "diabetes" if number % 2 else "adult"
        store.add_audit([entry(target=str(number), service=name, actor="admin" if number < 6 else "oidc:ann")])

    def targets(**asked: object) -> list[str]:
        return [one.target for one in store.audit(AuditQuery(**asked))]

    assert targets(limit=3) == ["1", "2", "3"]
    assert targets(limit=3, after=3) == ["4", "5", "6"]
    assert targets(limit=3, newest=True) == ["8", "9", "10"]
    assert targets(limit=3, newest=True, service="adult") == ["6", "8", "10"]
    assert targets(service="diabetes", actor="oidc:ann") == ["7", "9"]
    assert targets(action="delete_service") == []
    assert targets(after=10) == []
    assert targets(service="nul \0 byte") == []
    assert targets(after=2**63 - 1) == []


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit"])
def test_the_database_refuses_to_alter_it(store: Store, url: str, statement: str) -> None:
    """Not even somebody with the database at hand changes or deletes an entry with a plain statement."""
    store.add_audit([entry()])
    with raw(url) as connection, pytest.raises(Exception, match="the audit log is append-only"):
        connection.execute(text(statement))
    assert len(store.audit(ALL)) == 1


def test_who_goes_on_after_the_last_id_misses_none(opened: Callable[[], Store]) -> None:
    """While others write, a reader that follows the log sees every entry, once, in growing order."""
    writers, each = 4, 25

    def write(number: int) -> None:
        store = opened()
        for turn in range(each):
            store.add_audit([entry(target=f"{number}/{turn}")])

    reader, seen, last = opened(), list[str](), 0
    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) or reader.audit(AuditQuery(after=last)):
        for one in reader.audit(AuditQuery(after=last)):
            assert one.id > last
            last = one.id
            seen.append(one.target)
    assert sorted(seen) == sorted(f"{number}/{turn}" for number in range(writers) for turn in range(each))


def test_a_lower_id_is_never_committed_after_a_higher_one(postgresql) -> None:
    """PostgreSQL draws ids before the commit: a second writer waits for the first, whose id is lower."""
    url = postgresql.new_database()
    first, second = open_store(url), open_store(url)
    database = connect(url)
    from gateway.store import audit

    with database.transaction() as connection:
        audit.append(connection, (entry(target="slow"),))
        writing = threading.Thread(target=second.add_audit, args=([entry(target="quick")],))
        writing.start()
        writing.join(0.2)
        assert writing.is_alive()
        assert first.audit(ALL) == []
    writing.join(10)
    assert [one.target for one in first.audit(ALL)] == ["slow", "quick"]
    for one in (first, second):
        one.close()
    database.engine.dispose()


@contextmanager
def raw(url: str) -> Iterator[Connection]:
    """A connection that knows nothing of the store."""
    database: Database = connect(url)
    engine = create_engine(database.engine.url)
    database.engine.dispose()
    with engine.begin() as connection:
        yield connection
    engine.dispose()
