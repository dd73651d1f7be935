"""kill -9 of the control process while keys are regenerated: every change has its entry, every entry its change."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import threading
import time
from contextlib import closing, suppress

import pytest
from running_gateway import RunningGateway

SERVICE = "rotated"
SLOTS = ("primary", "secondary")


@pytest.fixture
def gateway(start_gateway, start_container) -> RunningGateway:
    spec = {"backends": [start_container(milliseconds=0).url], "health": None}
    return start_gateway({SERVICE: spec}, scoring={"workers": 1, "tls": None, "drain_seconds": 1})


def kills(gateway: RunningGateway, times: int, dice: random.Random) -> int:
    """Regenerate from two clients without a pause, while the control process is killed now and then.

    Returns how many regenerations were answered with 200.
    """
    done, ended = [], threading.Event()

    def regenerate(slot: str) -> None:
        while not ended.is_set():
            with suppress(OSError, Exception):
                if gateway.admin("POST", f"/services/{SERVICE}/keys/{slot}/regenerate", {}).status == 200:
                    done.append(slot)

    clients = [threading.Thread(target=regenerate, args=(slot,)) for slot in SLOTS]
    for client in clients:
        client.start()
    for _ in range(times):
        before, seen = gateway.control(), len(done)
        gateway.until(lambda seen=seen: len(done) > seen + 3, 60)
        time.sleep(dice.uniform(0, 0.05))
        os.kill(before, signal.SIGKILL)
        gateway.until(lambda before=before: gateway.control() != before, 30)
    seen = len(done)
    gateway.until(lambda: len(done) > seen + 3, 60)
    ended.set()
    for client in clients:
        client.join()
    return len(done)


def books(gateway: RunningGateway) -> tuple[dict[str, tuple[int, str]], dict[str, list[str]], list[str]]:
    """By slot (version, key id) as stored, and the targets of its entries in order; and the actions of all entries."""
    with closing(sqlite3.connect(gateway.folder / "var" / "gateway.db")) as database:
        keys = {
            slot: (version, id_)
            for slot, version, id_ in database.execute("SELECT slot, version, id FROM service_keys")
        }
        rows = database.execute("SELECT action, target FROM audit ORDER BY id").fetchall()
    targets = {
        slot: [target.split()[1] for action, target in rows if action == "regenerate_key" and target.startswith(slot)]
        for slot in SLOTS
    }
    return keys, targets, [action for action, _ in rows]


def check(gateway: RunningGateway, answered: int) -> None:
    keys, targets, actions = books(gateway)
    for slot in SLOTS:
        version, id_ = keys[slot]
        assert len(targets[slot]) == version - 1
        assert targets[slot][-1] == id_
        assert len(set(targets[slot])) == len(targets[slot])
    assert answered <= actions.count("regenerate_key")


def test_audit_is_complete(gateway) -> None:
    """After three kills the entries of a slot are as many as its versions, and the last names the key that opens."""
    answered = kills(gateway, 3, random.Random(5))
    check(gateway, answered)
    assert books(gateway)[2].count("start") >= 3


def test_control_a_lost_entry_is_found(gateway) -> None:
    """A log without one of its entries does not pass."""
    for _ in range(3):
        for slot in SLOTS:
            assert gateway.admin("POST", f"/services/{SERVICE}/keys/{slot}/regenerate", {}).status == 200
    check(gateway, 6)
    gateway.stop()
    with closing(sqlite3.connect(gateway.folder / "var" / "gateway.db", isolation_level=None)) as database:
        database.execute("DROP TRIGGER audit_is_not_deleted")
        database.execute("DELETE FROM audit WHERE id = (SELECT max(id) FROM audit WHERE action = 'regenerate_key')")
    with pytest.raises(AssertionError):
        check(gateway, 6)


@pytest.mark.prove
def test_audit_is_complete_after_fifty_kills(gateway, show) -> None:
    """The same, fifty times at random moments."""
    answered = kills(gateway, 50, random.Random(6))
    check(gateway, answered)
    count = books(gateway)[2].count("regenerate_key")
    show(f"50 kills of the control process: {answered} regenerations answered, {count} in the log, each with its key")
