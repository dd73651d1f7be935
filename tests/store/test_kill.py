"""kill -9 in the middle of writing: what was acknowledged is there, and no record is half old and half new."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from gateway.core.record import SLOTS
from gateway.core.store import Store
from gateway.store import open_store

ROUNDS = 8
WRITER = """
import os, signal, sys
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from sqlalchemy import update
from gateway.core.record import KeyRecord, Sealed, ServiceRecord
from gateway.store import open_store
from gateway.store.tables import service_keys

NOW = datetime(2026, 11, 21, tzinfo=UTC)

def key(service, slot, version):
    # Beyond one page: a torn write would show.
    value = Sealed(f"d{version}", f"{service}/{slot}/{version}/".encode() * 500)
    return KeyRecord(
        service=service, slot=slot, id=f"{service}/{slot}/{version}", version=version, value=value, created_at=NOW
    )

def torn(store, record):
    with store._database.transaction() as connection:
        connection.execute(update(service_keys).values(id=record.id, version=record.version).where(
            service_keys.c.service == record.service, service_keys.c.slot == record.slot))
    tell(record)
    signal.pause()

def tell(record):
    print(record.service, record.slot, record.version, flush=True)

store = open_store(os.environ["STORE_URL"])
known = {record.service for record in store.keys()}
for number in count(len(known)):
    name = f"s{number:04}"
    pair = [key(name, slot, 1) for slot in ("primary", "secondary")]
    store.create_service(ServiceRecord(name=name, origin="file", spec=None, created_at=NOW, updated_at=NOW), pair)
    for record in pair:
        tell(record)
    for version in range(2, 5):
        for slot in ("primary", "secondary"):
            if sys.argv[1] == "torn":
                torn(store, key(name, slot, version))
            else:
                store.replace_key(key(name, slot, version))
                tell(key(name, slot, version))
"""


def killed_after(url: str, lines: int, how: str = "whole") -> dict[tuple[str, str], int]:
    """Run the writer, kill it after so many lines, and return the newest version it acknowledged of every slot."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, how], stdout=subprocess.PIPE, env={**os.environ, "STORE_URL": url}, text=True
    )
    told = [writer.stdout.readline() for _ in range(lines)]
    writer.send_signal(signal.SIGKILL)
    told += writer.stdout.readlines()
    writer.stdout.close()
    assert writer.wait() == -signal.SIGKILL
    complete = [line.split() for line in told if line.endswith("\n")]
    return {(service, slot): int(version) for service, slot, version in complete}


def check(store: Store, acknowledged: dict[tuple[str, str], int]) -> None:
    """Every slot is of one piece and not older than acknowledged; every service has both of them."""
    services = {record.name for record in store.services()}
    stored = {service: store.key_pair(service) for service in services}
    for service, pair in stored.items():
        assert set(pair) == set(SLOTS)
        for slot, record in pair.items():
            name = f"{service}/{slot}/{record.version}"
            assert (record.id, record.value.ciphertext) == (name, f"{name}/".encode() * 500), "a mix"
    for (service, slot), version in acknowledged.items():
        assert version <= stored[service][slot].version <= version + 1


def test_a_killed_writer_leaves_old_or_new(url: str) -> None:
    """Killed at many points, again and again on the same store, it never leaves a mix and loses nothing it promised."""
    acknowledged: dict[tuple[str, str], int] = {}
    for number in range(ROUNDS):
        acknowledged |= killed_after(url, 3 + 7 * number)
        store = open_store(url)
        check(store, acknowledged)
        store.close()


def test_control_a_torn_write_is_caught(url: str) -> None:
    """A writer that changes a slot in two transactions is seen by the same check."""
    killed_after(url, 3, "torn")
    store = open_store(url)
    with pytest.raises(AssertionError, match="a mix"):
        check(store, {})
    store.close()
