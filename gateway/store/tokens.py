"""Signing keys and revoked tokens in SQL. Who calls holds the transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, case, delete, insert, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from gateway.core.record import RevocationRecord, SigningKeyRecord
from gateway.core.store import Conflict
from gateway.store import rows
from gateway.store.tables import installation, revocations, signing_keys


def keys(connection: Connection) -> list[SigningKeyRecord]:
    """Every signing key, oldest first."""
    found = connection.execute(select(signing_keys).order_by(signing_keys.c.created_at, signing_keys.c.kid))
    return [rows.signing_key_record(row) for row in found.mappings()]


def change_keys(connection: Connection, before: Sequence[SigningKeyRecord], after: Sequence[SigningKeyRecord]) -> None:
    """These keys in place of those. Raises Conflict when those are not what is stored any more."""
    # The one row that every store has: who changes keys waits for it, also while there is no key to wait for.
    connection.execute(select(installation.c.id).with_for_update())
    if {(key.kid, key.state) for key in keys(connection)} != {(key.kid, key.state) for key in before}:
        raise Conflict("the signing keys were changed by another process")
    connection.execute(delete(signing_keys))
    if after:
        connection.execute(insert(signing_keys), [rows.signing_key_row(key) for key in after])


def revoked(connection: Connection) -> list[RevocationRecord]:
    """Every revocation of every service."""
    order = (revocations.c.service, revocations.c.until, revocations.c.token_id, revocations.c.subject)
    found = connection.execute(select(revocations).order_by(*order))
    return [rows.revocation_record(row) for row in found.mappings()]


def revoke(connection: Connection, record: RevocationRecord) -> None:
    """Insert a revocation, or move one forward: never back, whoever of two replicas comes last."""
    if not record.token_id and not record.subject:
        finer = or_(revocations.c.token_id != "", revocations.c.subject != "")
        connection.execute(delete(revocations).where(revocations.c.service == record.service, finer))
    insertion = {"sqlite": sqlite, "postgresql": postgresql}[connection.dialect.name].insert(revocations)
    given, kept = insertion.excluded, revocations.c
    newer = {
        name: case((given[name] > kept[name], given[name]), else_=kept[name]) for name in ("issued_before", "until")
    }
    places = [column.name for column in revocations.primary_key]
    connection.execute(insertion.on_conflict_do_update(index_elements=places, set_=newer), rows.revocation_row(record))


def forget(connection: Connection, until: datetime) -> None:
    """Delete the revocations that were to be kept until then, or for less."""
    connection.execute(delete(revocations).where(revocations.c.until <= rows.utc(until)))
