"""Tokens of a gateway that runs: times and bounds, revocations that reach workers, what time and other replicas do."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.control.refusal import Refused
from gateway.core.record import RevocationRecord
from gateway.core.token import Verifier


async def served(make_rig, make_spec, **changes):
    """A rig with one service that opens with tokens, and its worker."""
    rig = await make_rig({"diabetes": make_spec(token_auth_enabled=True)}, **changes)
    return rig, await rig.ready_worker("a")


def issue(rig, subject="alice", **how):
    made = rig.tokens.issue(rig.catalog.get("diabetes"), subject, **how)
    return made, Verifier(rig.trust.issuer, rig.trust.verifying_keys).verify(made.token.encode())


async def test_a_token_tells_its_own_id(make_rig, make_spec) -> None:
    """What stands in the audit log is what stands in the token."""
    rig, _ = await served(make_rig, make_spec)
    made, claims = issue(rig)
    assert made.token_id == claims.token_id
    assert (made.expires_at, made.refresh_by) == (claims.expires_at, claims.issued_at + 43_200)


async def test_a_revocation_is_saved_before_it_is_told(make_rig, make_spec) -> None:
    """The worker hears of it when the store has it, and the answer waits for the worker."""
    rig, worker = await served(make_rig, make_spec)
    worker.acks.clear()
    revoking = asyncio.create_task(rig.tokens.revoke("diabetes", token_id="t_1"))
    await worker.until_received(2)
    assert [record.token_id for record in rig.store.revocations()] == ["t_1"]
    assert not revoking.done()
    worker.acks.set()
    await revoking
    assert worker.services["diabetes"].revoked.token_ids == {"t_1"}


async def test_a_worker_that_does_not_hear_of_it_is_ended(make_rig, make_spec) -> None:
    """The 200 means that no worker opens to the token."""
    rig, worker = await served(make_rig, make_spec, ack_seconds=0.05)
    worker.acks.clear()
    await rig.tokens.revoke("diabetes")
    assert rig.processes["a"].ended


async def test_a_revocation_that_workers_cannot_serve_is_no_success(make_rig, make_spec) -> None:
    """They go on with what they had: whoever revoked is told, with the reason."""
    rig, worker = await served(make_rig, make_spec)
    worker.refuses["diabetes"] = "FileNotFoundError: ca.pem"
    with pytest.raises(
        Refused, match=r"saved, but the workers cannot serve diabetes with it: FileNotFoundError: ca\.pem"
    ):
        await rig.tokens.revoke("diabetes")


async def test_a_store_that_is_away_revokes_nothing(make_rig, make_spec) -> None:
    """503, and the worker was told nothing."""
    rig, worker = await served(make_rig, make_spec)
    rig.store.broken = True
    with pytest.raises(Refused) as caught:
        await rig.tokens.revoke("diabetes")
    assert caught.value.status == 503
    assert worker.updates == 1


async def test_a_revocation_survives_a_restart(make_rig, make_spec) -> None:
    """Another control process on the same store tells its workers, too."""
    rig, _ = await served(make_rig, make_spec)
    await rig.tokens.revoke("diabetes", subject="alice")
    again, worker = await served(make_rig, make_spec)
    assert worker.services["diabetes"].revoked == rig.catalog.entry("diabetes").revoked
    assert "alice" in worker.services["diabetes"].revoked.subjects
    _, claims = issue(again)
    assert claims.issued_at >= worker.services["diabetes"].revoked.subjects["alice"]


async def test_an_expired_revocation_is_forgotten(make_rig, make_spec) -> None:
    """In the store and by the workers, and not before its time."""
    rig, worker = await served(make_rig, make_spec)
    await rig.tokens.revoke("diabetes", token_id="t_1")
    await rig.tokens.keep_up()
    assert worker.services["diabetes"].revoked.token_ids == {"t_1"}
    rig.store.revoked = {place: replace(record, until=datetime.now(UTC)) for place, record in rig.store.revoked.items()}
    await rig.tokens.keep_up()
    assert not worker.services["diabetes"].revoked.token_ids
    assert not rig.catalog.get("diabetes").revoked
    assert not rig.store.revocations()


async def test_what_another_replica_revoked_is_learned(make_rig, make_spec) -> None:
    """With the next look into the store, and once."""
    rig, worker = await served(make_rig, make_spec)
    rig.store.revoke(RevocationRecord(service="diabetes", token_id="t_9", until=datetime.now(UTC) + timedelta(hours=1)))
    for _ in range(3):
        await rig.tokens.keep_up()
    assert worker.services["diabetes"].revoked.token_ids == {"t_9"}
    assert worker.updates == 2


async def test_keeping_up_needs_no_store(make_rig, make_spec, caplog) -> None:
    """While it is away nothing is forgotten, and it is tried again."""
    rig, worker = await served(make_rig, make_spec)
    await rig.tokens.revoke("diabetes", token_id="t_1")
    rig.store.broken = True
    await rig.tokens.keep_up()
    assert worker.services["diabetes"].revoked.token_ids == {"t_1"}
    assert "those known stay revoked" in caplog.text


async def test_it_keeps_up_by_itself(make_rig, make_spec) -> None:
    """Again and again, as soon as changes may be made."""
    may = asyncio.Event()
    rig, worker = await served(make_rig, make_spec, settled=may.is_set)
    running = asyncio.create_task(rig.tokens.run(0.01))
    rig.store.revoke(RevocationRecord(service="diabetes", token_id="t_9", until=datetime.now(UTC) + timedelta(hours=1)))
    await asyncio.sleep(0.05)
    assert worker.updates == 1
    may.set()
    await worker.until_received(2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_other_changes_leave_revocations_alone(make_rig, make_spec) -> None:
    """A regenerated key or a changed service does not bring a revoked token back."""
    rig, worker = await served(make_rig, make_spec)
    await rig.tokens.revoke("diabetes", token_id="t_1")
    await rig.catalog.regenerate("diabetes", "primary")
    assert worker.services["diabetes"].revoked.token_ids == {"t_1"}
    before = {"diabetes": make_spec(token_auth_enabled=True)}
    after = {"diabetes": make_spec(token_auth_enabled=True, max_queue_length=7)}
    await rig.catalog.redeclare(before, after, {})
    assert worker.services["diabetes"].spec.max_queue_length == 7
    assert worker.services["diabetes"].revoked.token_ids == {"t_1"}
