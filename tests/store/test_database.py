"""Which URLs are taken, how the file and its connections are set up, and what a person is told when they fail."""

from __future__ import annotations

import socket
import sqlite3
import stat
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.core.record import KeyRecord, Sealed, ServiceRecord
from gateway.core.spec import ServiceSpec
from gateway.core.store import Store, StoreError
from gateway.core.vault import Vault
from gateway.store import database, open_store

NOW = datetime(2026, 11, 21, tzinfo=UTC)
SPEC = ServiceSpec(backends=("http://127.0.0.1:5001",), tags={"note": "a marker in plain text"})
SERVICE = ServiceRecord(name="diabetes", origin="api", spec=SPEC, created_at=NOW, updated_at=NOW)


def key(sealed: Sealed, version: int = 1) -> KeyRecord:
    return KeyRecord(
        service="diabetes", slot="primary", id=f"k_{version}", version=version, value=sealed, created_at=NOW
    )


def reason(url: str) -> str:
    """What a person is told who opens this URL."""
    with pytest.raises(StoreError) as caught:
        open_store(url)
    return str(caught.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "gateway.db"


def test_files_are_private(path: Path) -> None:
    """Folder, database, journals and lock belong to this user alone, whatever the umask."""
    store = open_store(f"sqlite:///{path}")
    store.create_service(SERVICE, [])
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(["gateway.db", "gateway.db-wal", "gateway.db-shm", "gateway.db.lock"], 0o600)
    store.close()


def test_sqlite_is_set_up_to_keep_what_it_promised(path: Path) -> None:
    """Write-ahead log, a sync at every commit, foreign keys, waiting for a lock: on every connection."""
    place = database.connect(f"sqlite:///{path}")
    for _ in range(2):
        with place.transaction() as connection:
            values = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            ]
        assert values == ["wal", 2, 1, database.BUSY_SECONDS * 1000]
        place.engine.dispose()


def test_odd_paths_are_taken_as_written(tmp_path: Path) -> None:
    """No character of a path has a meaning of its own."""
    path = tmp_path / "a b%20c?mode=ro#ü" / "g.db"
    open_store(f"sqlite:///{path}").close()
    assert path.exists()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mysql://owner:hunter2@db/store", "write sqlite:///<path> or postgresql://user@host/database"),
        ("gateway.db", "write sqlite:///<path>"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("postgresql://owner:hunter2@db:port/store", "no URL of a PostgreSQL database"),
        ("postgresql://owner:hunter2@x@db/store", "percent-encode"),
        ("postgresql://owner:a@hunter2/x@db/store", "percent-encode"),
    ],
)
def test_a_wrong_url_is_explained(url: str, told: str) -> None:
    """The message says what a right one looks like, and repeats no password."""
    message = reason(url)
    assert told in message
    assert "hunter2" not in message


def test_no_server_is_explained() -> None:
    """A port where nobody listens: place and advice, no password."""
    pytest.importorskip("psycopg", reason="pip install 'scoregate[postgresql]'")
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        message = reason(f"postgresql://owner:hunter2@127.0.0.1:{port}/store")
    assert message.startswith(f"PostgreSQL store store of owner at 127.0.0.1:{port} failed: ")
    assert "refused" in message
    assert "hunter2" not in message


def test_a_wrong_password_is_explained(postgresql: Any) -> None:
    """The server's reason is told, the password is not."""
    message = reason(postgresql.url("postgres", password="hunter2"))
    assert "password authentication failed" in message
    assert "hunter2" not in message


def test_a_password_in_a_driver_message_is_struck_out(postgresql: Any) -> None:
    """Even a driver that repeats the password does not bring it into the log."""
    place = database.connect(postgresql.url("postgres"))
    with pytest.raises(StoreError) as caught, place.transaction() as connection:
        connection.exec_driver_sql(f"SELECT '{postgresql.password}'::integer")
    place.engine.dispose()
    assert 'invalid input syntax for type integer: "***"' in str(caught.value)


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL is an extra: the line that installs it is in the message."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert "pip install 'scoregate[postgresql]'" in reason("postgresql://owner:hunter2@db/store")


def test_a_lost_connection_is_made_anew(postgresql: Any) -> None:
    """After the server dropped the connection, the next call succeeds."""
    url = postgresql.new_database()
    store = open_store(url)
    store.ping()
    own = database.connect(url)
    with own.transaction() as connection:
        ended = connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).all()
    own.engine.dispose()
    assert ended == [(True,)]
    store.ping()
    store.close()


def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "var").write_text("")
    message = reason(f"sqlite:///{tmp_path}/var/gateway.db")
    assert f"SQLite store {tmp_path}/var/gateway.db cannot be made" in message


def test_a_lock_that_cannot_be_made_is_explained(path: Path) -> None:
    """A folder stands where the lock file should be."""
    Path(f"{path}.lock").mkdir(parents=True)
    assert "gateway.db.lock: Is a directory" in reason(f"sqlite:///{path}")


def test_another_file_is_not_taken_for_a_store(path: Path) -> None:
    """A file that is no database is refused and left as it was."""
    path.parent.mkdir()
    path.write_bytes(b"my thesis\n" * 100)
    assert "file is not a database" in reason(f"sqlite:///{path}")
    assert path.read_bytes() == b"my thesis\n" * 100


def test_a_store_held_by_another_is_explained(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that does not end within the waiting time: an error with advice, and no hang."""
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    store = open_store(f"sqlite:///{path}")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"database is locked.*one gateway"):
            store.ping()
        other.execute("ROLLBACK")
    store.ping()
    store.close()


def test_a_full_disk_keeps_the_old_key(path: Path) -> None:
    """The change that does not fit is told and undone; what was there is there."""
    store = open_store(f"sqlite:///{path}")
    first = key(Sealed("d1", b"first"))
    store.create_service(SERVICE, [first])
    with store._database.transaction() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")
    with pytest.raises(StoreError, match=r"database or disk is full.*a disk with room"):
        store.replace_key(key(Sealed("d1", b"x" * 100_000), version=2))
    assert store.key_pair("diabetes") == {"primary": first}
    store.close()


def test_no_key_stands_in_the_files_in_plain_text(path: Path) -> None:
    """A sealed key is in none of the files; as a control, text that is not sealed is found by the same search."""
    secret = b"sg1_this-is-the-key-that-nobody-may-read"
    sealed = Vault({"d1": b"k" * 32}).seal(secret, "key/diabetes/primary/1")
    store: Store = open_store(f"sqlite:///{path}")
    store.create_service(SERVICE, [key(sealed)])
    written = b"".join(file.read_bytes() for file in path.parent.iterdir())
    store.close()
    written += b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert secret not in written
    assert sealed.ciphertext in written
    assert b"a marker in plain text" in written
