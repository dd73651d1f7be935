"""The Store protocol in SQL. Each method is one transaction; changes compare and swap in the statement itself.

No statement here may depend on which of the two databases runs it, except `_upsert`, which both spell the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, Table, Update, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.core.audit import AuditEntry, AuditQuery
from gateway.core.record import (
    CallerRecord,
    DataKeyRecord,
    InstallationRecord,
    KeyRecord,
    KeyUseRecord,
    RevocationRecord,
    ServiceRecord,
    SigningKeyRecord,
    Slot,
)
from gateway.core.store import Conflict
from gateway.store import audit, callers, rows, tokens, uses
from gateway.store.database import Database
from gateway.store.tables import data_keys, installation, service_keys, services


class SqlStore:
    """`core.store.Store` on one database whose tables are up to date."""

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    def installation(self) -> InstallationRecord | None:
        """The one record of this installation; None on a store that was never used."""
        with self._database.transaction() as connection:
            row = connection.execute(select(installation)).mappings().one_or_none()
        return None if row is None else rows.installation_record(row)

    def found(self, installation_record: InstallationRecord, data_key: DataKeyRecord) -> None:
        """Write the first records of a new store. Raises Conflict if another process founded it first."""
        with self._database.transaction("another process founded this store first") as connection:
            connection.execute(insert(installation), rows.installation_row(installation_record))
            connection.execute(insert(data_keys), rows.data_key_row(data_key))

    def data_keys(self) -> Sequence[DataKeyRecord]:
        """Every data key, oldest first; the last is the one that seals."""
        with self._database.transaction() as connection:
            found = connection.execute(select(data_keys).order_by(data_keys.c.created_at, data_keys.c.id))
            return [rows.data_key_record(row) for row in found.mappings()]

    def put_data_keys(self, records: Sequence[DataKeyRecord]) -> None:
        """Insert or replace data keys by id."""
        with self._database.transaction() as connection:
            _upsert(connection, data_keys, [rows.data_key_row(record) for record in records])

    def services(self) -> Sequence[ServiceRecord]:
        """Every service, by name."""
        with self._database.transaction() as connection:
            found = connection.execute(select(services)).mappings().all()
        # Sorted here: the collations of some PostgreSQL servers look past the hyphens of a name.
        return sorted(map(rows.service_record, found), key=lambda record: record.name)

    def create_service(self, record: ServiceRecord, keys: Sequence[KeyRecord]) -> None:
        """Insert a service with its key pair (empty when keys are off). Raises Conflict if the name exists."""
        with self._database.transaction(f"a service {record.name} exists already") as connection:
            connection.execute(insert(services), rows.service_row(record))
            _insert_keys(connection, keys)

    def update_service(self, record: ServiceRecord, keys: Sequence[KeyRecord] = ()) -> None:
        """Replace a service whose stored version is `record.version - 1`, else Conflict; insert `keys` with it."""
        statement = (
            update(services)
            .where(services.c.name == record.name, services.c.version == record.version - 1)
            .values(rows.service_row(record))
        )
        with self._database.transaction(f"service {record.name} has keys already") as connection:
            _swap(connection, statement, f"service {record.name} is gone or was changed by somebody else")
            _insert_keys(connection, keys)

    def delete_service(self, name: str) -> bool:
        """Delete a service, its keys, callers and revocations. False if there was none."""
        with self._database.transaction() as connection:
            return connection.execute(delete(services).where(services.c.name == name)).rowcount == 1

    def keys(self) -> Sequence[KeyRecord]:
        """Every slot of every service."""
        with self._database.transaction() as connection:
            return [rows.key_record(row) for row in connection.execute(select(service_keys)).mappings()]

    def key_pair(self, service: str) -> dict[Slot, KeyRecord]:
        """The slots of one service; empty when it has no keys."""
        statement = select(service_keys).where(service_keys.c.service == service)
        with self._database.transaction() as connection:
            records = [rows.key_record(row) for row in connection.execute(statement).mappings()]
        return {record.slot: record for record in records}

    def replace_key(self, record: KeyRecord) -> None:
        """Replace a slot whose stored version is `record.version - 1`, else Conflict."""
        statement = (
            update(service_keys)
            .where(
                service_keys.c.service == record.service,
                service_keys.c.slot == record.slot,
                service_keys.c.version == record.version - 1,
            )
            .values(rows.key_row(record))
        )
        with self._database.transaction(f"a key with the id {record.id} exists already") as connection:
            _swap(
                connection,
                statement,
                f"the {record.slot} key of {record.service} is gone or was regenerated by somebody else",
            )

    def key_uses(self, since_hour: int) -> Sequence[KeyUseRecord]:
        """The uses of every key in that hour and later."""
        with self._database.transaction() as connection:
            return uses.since(connection, since_hour)

    def add_key_uses(self, records: Sequence[KeyUseRecord]) -> None:
        """Add to what is kept of the same keys and hours. Those of services that are gone are left out."""
        with self._database.transaction() as connection:
            uses.add(connection, records)

    def forget_key_uses(self, before_hour: int) -> None:
        """Delete what is older: of a key that is still there, all but its newest hour."""
        with self._database.transaction() as connection:
            uses.forget(connection, before_hour)

    def callers(self) -> Sequence[CallerRecord]:
        """Every named caller of every service."""
        with self._database.transaction() as connection:
            return callers.everyone(connection)

    def create_caller(self, record: CallerRecord) -> None:
        """Insert a caller. Raises Conflict if the service has one of that name, or is gone."""
        taken = f"{record.service} has a caller {record.name} already, or is gone"
        with self._database.transaction(taken) as connection:
            callers.create(connection, record)

    def replace_caller(self, record: CallerRecord) -> None:
        """Replace a caller whose stored version is `record.version - 1`, else Conflict."""
        with self._database.transaction(f"a key with the id {record.id} exists already") as connection:
            callers.replace(connection, record)

    def delete_caller(self, service: str, name: str) -> bool:
        """Delete a caller with its key. False if there was none."""
        with self._database.transaction() as connection:
            return callers.remove(connection, service, name)

    def signing_keys(self) -> Sequence[SigningKeyRecord]:
        """Every signing key, oldest first."""
        with self._database.transaction() as connection:
            return tokens.keys(connection)

    def change_signing_keys(self, before: Sequence[SigningKeyRecord], after: Sequence[SigningKeyRecord]) -> None:
        """Keep these signing keys in place of `before`; Conflict if kids and states are not those any more."""
        with self._database.transaction() as connection:
            tokens.change_keys(connection, before, after)

    def revocations(self) -> Sequence[RevocationRecord]:
        """Every revocation of every service."""
        with self._database.transaction() as connection:
            return tokens.revoked(connection)

    def revoke(self, record: RevocationRecord) -> None:
        """Insert a revocation, or move one forward; one of all tokens takes the place of the others of its service."""
        with self._database.transaction(f"there is no service {record.service} any more") as connection:
            tokens.revoke(connection, record)

    def forget_revocations(self, until: datetime) -> None:
        """Delete the revocations that were to be kept until then, or for less."""
        with self._database.transaction() as connection:
            tokens.forget(connection, until)

    def audited(self, entry: AuditEntry) -> SqlStore:
        """This store, where what changes something adds `entry` to the audit log in the same transaction."""
        database = self._database
        return SqlStore(audit.Audited(database.engine, database.where, database.advice, entry))

    def add_audit(self, entries: Sequence[AuditEntry]) -> None:
        """Add entries that go with no change of the store, all or none, in their order."""
        with self._database.transaction() as connection:
            audit.append(connection, entries)

    def audit(self, wanted: AuditQuery) -> Sequence[AuditEntry]:
        """The entries that the query asks for, oldest first."""
        with self._database.transaction() as connection:
            return audit.entries(connection, wanted)

    def ping(self) -> None:
        """Raise StoreError unless the store answers."""
        with self._database.transaction() as connection:
            connection.execute(select(installation.c.id).limit(1)).all()

    def close(self) -> None:
        """Release connections and files."""
        self._database.engine.dispose()


def _insert_keys(connection: Connection, keys: Sequence[KeyRecord]) -> None:
    if keys:
        connection.execute(insert(service_keys), [rows.key_row(key) for key in keys])


def _swap(connection: Connection, statement: Update, otherwise: str) -> None:
    if connection.execute(statement).rowcount != 1:
        raise Conflict(otherwise)


def _upsert(connection: Connection, table: Table, values: list[rows.Values]) -> None:
    if not values:
        return
    dialect = {"sqlite": sqlite, "postgresql": postgresql}[connection.dialect.name]
    statement = dialect.insert(table)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[column.name for column in table.primary_key],
            set_={column.name: statement.excluded[column.name] for column in table.c if not column.primary_key},
        ),
        values,
    )
