"""A database behind the store: which one a URL means, how its connections are set up, its errors in words for a person.

No text made here holds a password: a place is described by its file, or by user, host, port and name.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from gateway.core.store import Conflict, StoreError

SQLITE_PREFIX = "sqlite:///"
BUSY_SECONDS = 5
CONNECT_SECONDS = 5
SILENCE_MS = 15_000
"""A PostgreSQL server that acknowledges nothing for so long is taken for gone."""

_FORMS = "write sqlite:///<path> or postgresql://user@host/database"
_SQLITE_ADVICE = (
    "See that the file is a Scoregate store, writable by this user, on a disk with room, with one gateway on it"
)
_POSTGRESQL_ADVICE = (
    "See that the server runs, is reachable from here, and lets this user in with the password of store.url"
)


@dataclass(frozen=True, slots=True)
class Database:
    """An engine, where it leads in words (`SQLite store /srv/gateway.db`), and what to look at when it fails."""

    engine: Engine
    where: str
    advice: str

    @contextmanager
    def transaction(self, taken: str = "a record with the same key exists already") -> Iterator[Connection]:
        """One transaction. Raises StoreError, and Conflict with the text `taken` if a row of the same key exists."""
        try:
            with self.engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise Conflict(taken) from None
        except (DBAPIError, PoolTimeoutError) as error:
            raise StoreError(f"{self.where} failed: {self._reason(error)}. {self.advice}.") from None

    def _reason(self, error: DBAPIError | PoolTimeoutError) -> str:
        reason = " ".join(str(error.orig if isinstance(error, DBAPIError) else error).split())
        password = self.engine.url.password
        return (reason.replace(password, "***") if password else reason).rstrip(".?")


def connect(url: str) -> Database:
    """The database of a store URL. SQLite's file is made if it is missing; nothing is asked of PostgreSQL yet."""
    if url.startswith(SQLITE_PREFIX):
        return _sqlite(url.removeprefix(SQLITE_PREFIX))
    scheme = url.partition("://")[0]
    if scheme in ("postgresql", "postgres", "postgresql+psycopg"):
        return _postgresql(url)
    raise StoreError(f"store.url is of no known kind: {_FORMS}")


def _sqlite(name: str) -> Database:
    if name in ("", ":memory:"):
        raise StoreError(f"store.url names no file, so keys would be lost at every restart: {_FORMS}")
    path = Path(name).absolute()
    where = f"SQLite store {path}"
    try:
        _make_private(path)
    except OSError as error:
        raise StoreError(f"{where} cannot be made: {error.strerror}. {_SQLITE_ADVICE}.") from None
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        hide_parameters=True,
        pool_size=1,
        max_overflow=0,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
    )
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return Database(engine, where, _SQLITE_ADVICE)


def _make_private(path: Path) -> None:
    """Make the file if it is missing. The journals that SQLite makes beside it take over its mode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _set_up_sqlite(connection: Any, _record: object) -> None:
    # The driver's own transactions would leave schema changes outside: ours are begun by _begin_sqlite.
    connection.isolation_level = None
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later would fail at once, unwaited, if another wrote in between.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _postgresql(url: str) -> Database:
    try:
        importlib.import_module("psycopg")
    except ImportError:
        raise StoreError(
            "store.url asks for PostgreSQL, whose driver is missing: pip install 'scoregate[postgresql]'"
        ) from None
    place = _parse(url)
    host = place.host or place.query.get("host") or "its Unix socket"
    where = f"PostgreSQL store {place.database or ''} of {place.username or 'this user'} at {host}:{place.port or 5432}"
    defaults: dict[str, Any] = {
        "connect_timeout": CONNECT_SECONDS,
        "tcp_user_timeout": SILENCE_MS,
        "application_name": "scoregate",
    }
    engine = create_engine(
        place.set(drivername="postgresql+psycopg"),
        hide_parameters=True,
        pool_size=1,
        max_overflow=0,
        pool_pre_ping=True,
        connect_args={name: value for name, value in defaults.items() if name not in place.query},
    )
    return Database(engine, where, _POSTGRESQL_ADVICE)


def _parse(url: str) -> URL:
    try:
        place = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreError(f"store.url is no URL of a PostgreSQL database: {_FORMS}") from None
    if "@" in f"{place.host}{place.database}":
        # Part of the password would be taken for the host, and be shown as such.
        raise StoreError("store.url has two @: percent-encode the one in the user or password as %40")
    return place
