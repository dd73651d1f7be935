"""Regeneration under load: after its answer the old key opens nothing, and the other slot never fails, on no worker.

Clients record when each request began and ended; afterwards one judge looks at all of them (`regenerating`). The judge
is shown to be able to find something by giving it times that are a little too early. Four workers, a hundred rounds and
a worker that caches: tests/faults/test_keys_under_fire.py.
"""

from __future__ import annotations

import pytest
from regenerating import AROUND_SECONDS, History, regenerations
from running_gateway import RunningGateway

SERVICE = "rotated"
ROUNDS = 24
CLIENTS = 8


@pytest.fixture(scope="module")
def gateway(start_gateway, start_backend) -> RunningGateway:
    backend = start_backend()
    spec = {"backends": [backend.url], "max_concurrent_requests_per_container": None}
    # Old keys are tried far more often than a client may be wrong.
    return start_gateway({SERVICE: spec}, scoring={"max_auth_failures_per_minute": 0})


@pytest.fixture(scope="module")
def history(gateway: RunningGateway) -> History:
    """Two dozen regenerations, the slots in turn, under the load of eight clients."""
    return regenerations(gateway, SERVICE, rounds=ROUNDS, clients=CLIENTS)


def test_the_old_key_opens_nothing_after_the_answer(history: History) -> None:
    """0 requests begun after the 200 of a regeneration pass with the old key, in 24 regenerations with two workers."""
    assert history.passed_after_end() == []


def test_the_other_slot_never_fails(history: History) -> None:
    """0 requests fail with a key that is in force, while the other slot is replaced under it."""
    assert history.failed_in_life() == []


def test_every_regeneration_was_under_load(history: History) -> None:
    """Control: each replaced key was tried before and after its end, passed before, and the other slot was busy."""
    assert len(history.replaced) == ROUNDS
    for key in history.replaced:
        own = [one for one in history.tries if one.key is key]
        assert [one.status for one in own if one.began < key.dead].count(200) >= 5
        assert {one.status for one in own if one.began > key.dead} == {401}
        meanwhile = [one for one in history.tries if one.key is not key and one.ended > key.asked - AROUND_SECONDS]
        assert any(one.began < key.dead + AROUND_SECONDS and one.status == 200 for one in meanwhile)


def test_the_judge_finds_what_came_too_early(history: History) -> None:
    """Control: told that the answers came 50 ms before they did, the judge finds old keys that passed."""
    found = {one.key.value for one in history.passed_after_end(seconds_earlier=0.05)}
    assert len(found) >= ROUNDS / 2


def test_a_given_key(gateway: RunningGateway) -> None:
    """An admin may set a key of their own choosing; it is the key at once, and the one before is none."""
    before = gateway.keys(SERVICE)[0]
    assert gateway.regenerate(SERVICE, "Primary", "chosen-by-the-admin-0123456789") == "chosen-by-the-admin-0123456789"
    assert gateway.score(SERVICE, "chosen-by-the-admin-0123456789").status == 200
    assert gateway.score(SERVICE, before).status == 401


def test_regenerated_keys_survive_a_restart(start_gateway, start_backend) -> None:
    """What was regenerated is the key after a restart, too; what was replaced stays dead."""
    gateway = start_gateway({SERVICE: {"backends": [start_backend().url]}})
    old, other = gateway.keys(SERVICE)
    new = gateway.regenerate(SERVICE, "Primary")
    assert gateway.stop() == 0
    gateway.start()
    assert gateway.keys(SERVICE) == (new, other)
    assert [gateway.score(SERVICE, key).status for key in (old, new, other)] == [401, 200, 200]
