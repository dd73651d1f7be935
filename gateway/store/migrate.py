"""Brings a database to the tables this release knows, one process at a time, all steps or none.

Steps lead forward only: the way back is a backup, since a step back would have to forget keys.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, select, text

from gateway.core.store import StoreError
from gateway.store.database import Database
from gateway.store.tables import VERSION_TABLE

MIGRATIONS = Path(__file__).parent / "migrations"
TURN_SECONDS = 60
"""How long to wait for another process that is upgrading the same store."""
ADVISORY_LOCK = 0x53636F7265676174
"""Any number that no other product locks: `Scoregat` in ASCII."""

_POLL_SECONDS = 0.05


def upgrade(database: Database) -> None:
    """Run the migrations that are still to run. Raises StoreError, also when the store is ahead of this release."""
    with _turn(database), database.transaction() as connection:
        _wait_for_turn(connection)
        config = configuration()
        script = ScriptDirectory.from_config(config)
        current = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
        newest = script.get_current_head()
        if current == newest:
            return
        if current is not None and current not in {step.revision for step in script.walk_revisions()}:
            raise StoreError(
                f"{database.where} was written by a newer release: it is at revision {current}, this one knows up to "
                f"{newest}. Install the newer release again, or restore a backup from before it."
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def configuration() -> Config:
    """Alembic's configuration, made here because the packaged product has no alembic.ini."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _turn(database: Database) -> AbstractContextManager[None]:
    """A turn at a file beside the SQLite database.

    SQLite does not wait for its own lock when it changes to WAL: of 900 processes that opened new files, six at a time,
    37 failed with "database is locked".
    """
    if database.engine.dialect.name != "sqlite":
        return nullcontext()
    return _file_lock(Path(f"{database.engine.url.database}.lock"), database.where)


@contextmanager
def _file_lock(path: Path, where: str) -> Iterator[None]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{where} cannot be locked: {path}: {error.strerror}. Make its folder writable.") from None
    try:
        _await_lock(descriptor, where)
        yield
    finally:
        os.close(descriptor)


def _await_lock(descriptor: int, where: str) -> None:
    deadline = time.monotonic() + TURN_SECONDS
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise StoreError(
                    f"{where} is being upgraded by another process for {TURN_SECONDS} s: wait for it, or end it."
                ) from None
        time.sleep(_POLL_SECONDS)


def _wait_for_turn(connection: Connection) -> None:
    """On PostgreSQL: the advisory lock, which the end of the transaction gives back."""
    if connection.dialect.name != "postgresql":
        return
    connection.execute(text(f"SET LOCAL lock_timeout = '{int(TURN_SECONDS * 1000)}ms'"))
    connection.execute(select(func.pg_advisory_xact_lock(ADVISORY_LOCK)))
