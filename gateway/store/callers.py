"""Named callers in SQL: statements within the transaction that is handed in."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select, update

from gateway.core.record import CallerRecord
from gateway.core.store import Conflict
from gateway.store import rows
from gateway.store.tables import callers


def everyone(connection: Connection) -> list[CallerRecord]:
    """Every caller of every service."""
    return [rows.caller_record(row) for row in connection.execute(select(callers)).mappings()]


def create(connection: Connection, record: CallerRecord) -> None:
    """Insert a caller."""
    connection.execute(insert(callers), rows.caller_row(record))


def replace(connection: Connection, record: CallerRecord) -> None:
    """Replace a caller whose stored version is `record.version - 1`, else Conflict."""
    statement = (
        update(callers)
        .where(
            callers.c.service == record.service,
            callers.c.name == record.name,
            callers.c.version == record.version - 1,
        )
        .values(rows.caller_row(record))
    )
    if connection.execute(statement).rowcount != 1:
        raise Conflict(f"caller {record.name} of {record.service} is gone or was changed by somebody else")


def remove(connection: Connection, service: str, name: str) -> bool:
    """Delete a caller. False if there was none."""
    statement = delete(callers).where(callers.c.service == service, callers.c.name == name)
    return connection.execute(statement).rowcount == 1
