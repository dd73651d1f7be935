"""Migrations: from an empty database to the newest tables, once, one process at a time, all steps or none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

import gateway.store
from gateway.core.record import ServiceRecord
from gateway.core.store import StoreError
from gateway.store import database, migrate, open_store
from gateway.store.migrations import __main__ as writer
from gateway.store.tables import VERSION_TABLE, metadata

NOW = datetime(2026, 11, 21, tzinfo=UTC)
SERVICE = ServiceRecord(name="diabetes", origin="file", spec=None, created_at=NOW, updated_at=NOW)
FAILING_STEP = """
import sqlalchemy as sa
from alembic import op

revision = "{next}"
down_revision = "{newest}"

def upgrade() -> None:
    op.create_table("half", sa.Column("id", sa.Integer))
    op.execute("SELECT 1 FROM nowhere")
"""


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the migrations, to add to."""
    copy = tmp_path / "migrations"
    shutil.copytree(migrate.MIGRATIONS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(migrate, "MIGRATIONS", copy)
    return copy / "versions"


def newest_number(steps: Path) -> str:
    """Of the steps there are."""
    return max(step.name[:4] for step in steps.glob("[0-9]*.py"))


def next_number(number: str) -> str:
    """Of the step after that."""
    return f"{int(number) + 1:04}"


@pytest.fixture
def one_more_table() -> Iterator[sa.Table]:
    """What a developer adds to `store.tables`."""
    table = sa.Table("jobs", metadata, sa.Column("id", sa.String, primary_key=True))
    yield table
    metadata.remove(table)


def tables(url: str) -> set[str]:
    place = database.connect(url)
    with place.transaction() as connection:
        names = set(sa.inspect(connection).get_table_names())
    place.engine.dispose()
    return names


def differences(url: str) -> list[Any]:
    """What Alembic would change to bring the database to `store.tables`."""
    place = database.connect(url)
    with place.transaction() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        found = compare_metadata(context, metadata)
    place.engine.dispose()
    return found


def test_the_steps_make_the_tables(url: str, one_more_table: sa.Table) -> None:
    """After all steps nothing is left to change; as a control, a table that no step makes is reported."""
    open_store(url).close()
    assert [(change[0], change[1].name) for change in differences(url)] == [("add_table", one_more_table.name)]


def test_opening_again_changes_nothing(url: str) -> None:
    """A second start runs no step and finds what the first one wrote."""
    for expected in ([], [SERVICE]):
        store = open_store(url)
        assert store.services() == expected
        if not expected:
            store.create_service(SERVICE, [])
        store.close()


def test_a_new_table_comes_with_the_next_start(url: str, steps: Path, one_more_table: sa.Table) -> None:
    """The step that the writer makes is run on a store in use, which keeps its records."""
    store = open_store(url)
    store.create_service(SERVICE, [])
    store.close()
    newest = newest_number(steps)
    writer.write_step("Add jobs")
    assert (steps / f"{next_number(newest)}_add_jobs.py").exists()
    store = open_store(url)
    assert store.services() == [SERVICE]
    store.close()
    assert one_more_table.name in tables(url)
    assert differences(url) == []


def test_a_step_that_fails_leaves_nothing(url: str, steps: Path) -> None:
    """Its tables and its number are undone, and the release before it still opens the store."""
    open_store(url).close()
    before = tables(url)
    newest = newest_number(steps)
    failing = steps / f"{next_number(newest)}_fails.py"
    failing.write_text(FAILING_STEP.format(next=next_number(newest), newest=newest))
    with pytest.raises(StoreError, match="nowhere"):
        open_store(url)
    assert tables(url) == before
    failing.unlink()
    open_store(url).close()


FIRST_KEY = """
INSERT INTO services (name, origin, created_at, updated_at, version)
VALUES ('diabetes', 'file', '2026-01-01 00:00:00', '2026-01-01 00:00:00', 1);
INSERT INTO service_keys (service, slot, id, version, data_key_id, ciphertext, created_at)
VALUES ('diabetes', 'primary', 'k_1', 1, 'd1', '', '2026-01-01 00:00:00')
"""


def test_keys_of_the_first_release_are_not_taken_for_unused(url: str, steps: Path) -> None:
    """Nobody counted their uses before: counting begins with the step, and the key is otherwise what it was."""
    later = [step for step in steps.glob("[0-9]*.py") if not step.name.startswith("0001")]
    kept = {step: step.read_text() for step in later}
    for step in later:
        step.unlink()
    open_store(url).close()
    place = database.connect(url)
    with place.transaction() as connection:
        for statement in FIRST_KEY.split(";"):
            connection.exec_driver_sql(statement)
    place.engine.dispose()
    for step, text in kept.items():
        step.write_text(text)
    began = datetime.now(UTC)
    store = open_store(url)
    (key,) = store.keys()
    store.close()
    assert (key.id, key.expires_at, key.former) == ("k_1", None, None)
    assert key.counted_from is not None
    assert key.counted_from >= began


def test_a_newer_store_is_refused(url: str) -> None:
    """A database that a newer release brought ahead is left alone, and the message says how to go on."""
    open_store(url).close()
    place = database.connect(url)
    with place.transaction() as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    place.engine.dispose()
    with pytest.raises(StoreError, match=r"newer release: it is at revision 9999, this one knows up to 0\d+") as caught:
        open_store(url)
    assert "restore a backup" in str(caught.value)


def test_processes_that_start_together_do_not_collide(url: str) -> None:
    """Four processes open the same empty store at once: all succeed, and the tables are there once."""
    code = (
        "import os, sys; from gateway.store import open_store; print('ready', flush=True); sys.stdin.read();"
        "store = open_store(os.environ['STORE_URL']); store.ping(); store.close()"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "STORE_URL": url},
        )
        for _ in range(4)
    ]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.close()
        process.stdin = None
    failures = [process.communicate()[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, failures
    assert tables(url) == {*metadata.tables, VERSION_TABLE}


def test_a_second_process_waits_for_its_turn(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one process upgrades, another does not begin; it waits, and after too long says for what."""
    monkeypatch.setattr(migrate, "TURN_SECONDS", 0.3)
    begun, finish = threading.Event(), threading.Event()

    def slow_upgrade(*_arguments: object) -> None:
        begun.set()
        finish.wait(30)

    with monkeypatch.context() as patched:
        patched.setattr("alembic.command.upgrade", slow_upgrade)
        first = threading.Thread(target=lambda: open_store(url).close())
        first.start()
        assert begun.wait(30)
    try:
        with pytest.raises(StoreError, match=r"being upgraded by another process|lock timeout"):
            open_store(url)
    finally:
        finish.set()
        first.join()
    open_store(url).close()


def test_the_wheel_holds_the_steps() -> None:
    """Every folder of the store is a package, since only packages get into the wheel."""
    folders = {file.parent for file in Path(gateway.store.__file__).parent.rglob("*.py")}
    assert migrate.MIGRATIONS / "versions" in folders
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []
