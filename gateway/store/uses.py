"""How often keys were used, in SQL. Who calls holds the transaction."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, case, delete, func, or_, select, union_all
from sqlalchemy.dialects import postgresql, sqlite

from gateway.core.record import KeyUseRecord
from gateway.store import rows
from gateway.store.tables import callers, key_uses, service_keys, services


def since(connection: Connection, hour: int) -> list[KeyUseRecord]:
    """The uses of every key in that hour and later."""
    found = connection.execute(select(key_uses).where(key_uses.c.hour >= hour))
    return [rows.key_use_record(row) for row in found.mappings()]


def add(connection: Connection, records: Sequence[KeyUseRecord]) -> None:
    """Add to what is kept of the same keys and hours: two replicas may count the same key."""
    names = {record.service for record in records}
    there = set(connection.scalars(select(services.c.name).where(services.c.name.in_(names))))
    values = [rows.key_use_row(record) for record in records if record.service in there]
    if not values:
        return
    insertion = {"sqlite": sqlite, "postgresql": postgresql}[connection.dialect.name].insert(key_uses)
    given, kept = insertion.excluded, key_uses.c
    changed = {
        "uses": kept.uses + given.uses,
        "last_used": case((given.last_used > kept.last_used, given.last_used), else_=kept.last_used),
    }
    connection.execute(insertion.on_conflict_do_update(index_elements=["key_id", "hour"], set_=changed), values)


def forget(connection: Connection, hour: int) -> None:
    """Delete what is older than that hour: of a key that is still there, all but the newest."""
    ids = union_all(
        select(service_keys.c.id),
        select(service_keys.c.previous_id).where(service_keys.c.previous_id.is_not(None)),
        select(callers.c.id),
        select(callers.c.previous_id).where(callers.c.previous_id.is_not(None)),
    )
    other = key_uses.alias()
    newest = select(func.max(other.c.hour)).where(other.c.key_id == key_uses.c.key_id).scalar_subquery()
    is_stale = or_(key_uses.c.key_id.not_in(ids), key_uses.c.hour < newest)
    connection.execute(delete(key_uses).where(key_uses.c.hour < hour, is_stale))
