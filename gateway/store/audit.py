"""The audit log in SQL: entries appended in the transaction of the change they tell of, and read in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, text

from gateway.core.audit import AuditEntry, AuditQuery
from gateway.store import rows
from gateway.store.database import Database
from gateway.store.tables import audit


@dataclass(frozen=True, slots=True)
class Audited(Database):
    """The same database, where what changes something leaves this entry in the same transaction: both, or neither."""

    entry: AuditEntry

    @contextmanager
    def transaction(self, taken: str = "a record with the same key exists already") -> Iterator[Connection]:
        """One transaction, with its entry if it changed anything. Raises as `Database.transaction` does."""
        with Database.transaction(self, taken) as connection:
            before = _written(connection)
            yield connection
            if _written(connection) != before:
                append(connection, (self.entry,))


def append(connection: Connection, entries: Sequence[AuditEntry]) -> None:
    """Add the entries, in their order."""
    if connection.dialect.name == "postgresql":
        # Ids are drawn before the commit: without this, a reader that goes on after the last id it saw could miss the
        # entry of another replica that drew a lower one and committed later. SQLite writes one at a time anyway.
        connection.execute(text("LOCK TABLE audit IN SHARE ROW EXCLUSIVE MODE"))
    connection.execute(insert(audit), [rows.audit_row(entry) for entry in entries])


def entries(connection: Connection, wanted: AuditQuery) -> list[AuditEntry]:
    """What the query asks for, oldest first."""
    columns = {"actor": wanted.actor, "service": wanted.service, "action": wanted.action}
    statement = select(audit).where(audit.c.id > wanted.after).limit(wanted.limit)
    for name, value in columns.items():
        if value is not None:
            statement = statement.where(audit.c[name] == value)
    statement = statement.order_by(audit.c.id.desc() if wanted.newest else audit.c.id)
    found = [rows.audit_entry(row) for row in connection.execute(statement).mappings()]
    return found[::-1] if wanted.newest else found


def _written(connection: Connection) -> object:
    """Another value after each change: the count of changed rows, or the id a transaction gets when it first writes."""
    postgresql = connection.dialect.name == "postgresql"
    return connection.execute(
        text(f"SELECT {'txid_current_if_assigned()' if postgresql else 'total_changes()'}")
    ).scalar()
