"""Stores to test on: SQLite files, and a real PostgreSQL server that the suite starts and stops by itself."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.core.store import Store
from gateway.store import open_store

PROGRAMS = ("initdb", "pg_ctl", "postgres")


@dataclass(frozen=True)
class Server:
    """A running PostgreSQL server."""

    port: int
    password: str

    def url(self, database: str, password: str = "") -> str:
        return f"postgresql://owner:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The URL of a new, empty database."""
        import psycopg

        name = "t" + secrets.token_hex(6)
        with closing(psycopg.connect(self.url("postgres"), autocommit=True)) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)


def _missing(what: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


def _programs() -> Path | None:
    on_path = shutil.which("pg_ctl")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if all((folder / name).exists() for name in PROGRAMS)), None)


def _unprivileged() -> dict[str, object]:
    """How to start a program that refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    account = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """One server for the whole run, in a folder of its own, on a free port of the loopback."""
    programs = _programs()
    if programs is None:
        _missing("PostgreSQL is not installed: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="scoregate-pg-"))
    account = _unprivileged()
    if account:
        os.chown(folder, account["user"], account["group"])
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    def run(program: str, *arguments: str) -> None:
        command = [str(programs / program), "-D", str(folder / "data"), *arguments]
        with (folder / "run.log").open("w+") as log:
            done = subprocess.run(command, cwd=folder, stdout=log, stderr=log, check=False, **account)
            log.seek(0)
            assert done.returncode == 0, log.read()

    password = secrets.token_hex(16)
    (folder / "password").write_text(password)
    (folder / "password").chmod(0o644)
    try:
        run("initdb", "-U", "owner", "--auth=scram-sha-256", "--pwfile", str(folder / "password"), "--encoding=UTF8")
        options = f"-k {folder} -c listen_addresses=127.0.0.1 -p {port} -c fsync=off -c timezone=America/New_York"
        run("pg_ctl", "-w", "-l", str(folder / "data" / "server.log"), "-o", options, "start")
        yield Server(port, password)
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            run("pg_ctl", "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new, empty store, on each database in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'var' / 'gateway.db'}"
    return request.getfixturevalue("postgresql").new_database()


@pytest.fixture
def opened(url: str) -> Iterator[Callable[[], Store]]:
    """Opens the store once more, each time on connections of its own."""
    stores: list[Store] = []

    def again() -> Store:
        stores.append(open_store(url))
        return stores[-1]

    yield again
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Callable[[], Store]) -> Store:
    """An empty store."""
    return opened()
