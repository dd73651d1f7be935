"""The SQL form of `core.store.Store`, on SQLite and PostgreSQL. Nothing outside knows SQL or its libraries."""

from gateway.core.store import Store
from gateway.store.database import connect
from gateway.store.migrate import upgrade
from gateway.store.sql import SqlStore


def open_store(url: str) -> Store:
    """The store at `sqlite:///<path>` or `postgresql://user@host/database`, with its tables made or brought up to date.

    Raises StoreError when it cannot be reached, or was written by a newer release.
    """
    database = connect(url)
    try:
        upgrade(database)
    except BaseException:
        database.engine.dispose()
        raise
    return SqlStore(database)


__all__ = ["open_store"]
