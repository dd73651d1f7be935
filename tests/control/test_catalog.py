"""The road of a change: saved, published, acknowledged, answered; and nothing half done when a step fails."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from gateway.control.refusal import Refused
from gateway.core import key


def put(rig, name: str, spec):
    return rig.catalog.put(name, lambda _: spec)


async def test_put_is_saved_and_served(rig, make_spec) -> None:
    """A new service is in the store, with two keys, and in every worker, as digests."""
    worker = await rig.ready_worker("a")
    service, is_new = await put(rig, "diabetes", make_spec())
    assert is_new
    assert rig.store.service["diabetes"] == service.record
    served = worker.services["diabetes"]
    keys = rig.catalog.keys("diabetes")
    digests = {key.digest(rig.trust.digest_key, value.encode()) for value, _ in keys.values()}
    assert {entry.digest for entry in served.keys} == digests
    assert [entry.slot for entry in served.keys] == ["primary", "secondary"]
    assert served.spec.keys is None


async def test_regenerate_answers_when_all_workers_have_it(rig, make_spec) -> None:
    """A regenerated key is answered only when the slower of two workers has dropped the old one."""
    await put(rig, "diabetes", make_spec())
    await rig.ready_worker("a")
    slow = await rig.ready_worker("slow")
    old, _ = rig.catalog.keys("diabetes")["primary"]
    slow.acks.clear()
    regenerating = asyncio.create_task(rig.catalog.regenerate("diabetes", "primary"))
    await slow.until_received(2)
    assert not regenerating.done()
    assert rig.catalog.keys("diabetes")["primary"][0] == old, "nobody is shown a key that is not accepted yet"
    slow.acks.set()
    made = await regenerating
    assert made.value != old
    assert made.acknowledged.workers == 2
    for worker in rig.workers.values():
        digests = [entry.digest for entry in worker.services["diabetes"].keys]
        assert key.digest(rig.trust.digest_key, old.encode()) not in digests
        assert key.digest(rig.trust.digest_key, made.value.encode()) in digests
    assert rig.catalog.keys("diabetes")["primary"][0] == made.value


async def test_regenerate_leaves_the_other_slot(rig, make_spec) -> None:
    """The other slot keeps its value and its id."""
    await put(rig, "diabetes", make_spec())
    before = rig.catalog.keys("diabetes")["secondary"]
    await rig.catalog.regenerate("diabetes", "primary")
    assert rig.catalog.keys("diabetes")["secondary"] == before


async def test_failed_save_changes_nothing(rig, make_spec) -> None:
    """When the store fails, neither readers nor workers nor the scoreboard see anything of the change."""
    await put(rig, "diabetes", make_spec())
    worker = await rig.ready_worker("a")
    before = rig.catalog.keys("diabetes")
    rig.store.broken = True
    with pytest.raises(Refused) as refused:
        await rig.catalog.regenerate("diabetes", "primary")
    assert refused.value.status == 503
    with pytest.raises(Refused):
        await put(rig, "another", make_spec(backends=("http://other:1",)))
    assert rig.catalog.keys("diabetes") == before
    assert "another" not in rig.catalog.services
    assert worker.updates == 1


async def test_entry_that_no_worker_compiles_is_taken_back(rig, make_spec) -> None:
    """A change that the workers cannot serve is undone everywhere, and refused with their reason."""
    worker = await rig.ready_worker("a")
    await put(rig, "diabetes", make_spec(description="good"))
    worker.refuses = {"diabetes": "its CA file cannot be read.", "fresh": "its CA file cannot be read."}
    for name in ("diabetes", "fresh"):
        with pytest.raises(Refused, match="CA file cannot be read") as refused:
            await put(rig, name, make_spec(description="bad"))
        assert refused.value.status == 400
    assert rig.catalog.get("diabetes").spec.description == "good"
    assert rig.store.service["diabetes"].spec.description == "good"
    assert "fresh" not in rig.catalog.services
    assert "fresh" not in rig.store.service
    worker.refuses = {}
    await put(rig, "diabetes", make_spec(description="better"))
    assert worker.services["diabetes"].spec.description == "better"


async def test_no_change_before_the_workers_are_back(make_rig, make_spec) -> None:
    """After a restart of the control process alone, old workers serve old keys: changes wait for them."""
    is_settled = False
    rig = await make_rig({"diabetes": make_spec()}, settled=lambda: is_settled)
    for change in (
        lambda: rig.catalog.regenerate("diabetes", "primary"),
        lambda: put(rig, "other", make_spec()),
    ):
        with pytest.raises(Refused) as refused:
            await change()
        assert refused.value.status == 503
        assert refused.value.headers["Retry-After"]
    is_settled = True
    await rig.catalog.regenerate("diabetes", "primary")


async def test_delete_forgets_keys_rows_and_entry(rig, make_spec, board) -> None:
    """A deleted service is gone from store, workers and readers; its scoreboard row follows when nothing can use it."""
    worker = await rig.ready_worker("a")
    await put(rig, "diabetes", make_spec())
    assert len(board.owners) == 1
    await rig.catalog.delete("diabetes", lambda _: None)
    assert "diabetes" not in worker.services
    assert not rig.store.key
    with pytest.raises(Refused) as refused:
        rig.catalog.get("diabetes")
    assert refused.value.status == 404


async def test_update_keeps_keys_and_rows(rig, make_spec) -> None:
    """A change of the spec leaves keys and the rows of backends that stay as they were."""
    await put(rig, "diabetes", make_spec(backends=("http://a:1", "http://b:1")))
    keys, before = rig.catalog.keys("diabetes"), rig.catalog.entry("diabetes").deployments[0].backends
    await put(rig, "diabetes", make_spec(backends=("http://b:1", "http://c:1", "http://c:1")))
    after = rig.catalog.entry("diabetes").deployments[0].backends
    assert rig.catalog.keys("diabetes") == keys
    assert after[0] == before[1]
    assert [backend.url for backend in after] == ["http://b:1", "http://c:1"]
    assert after[1].row not in {backend.row for backend in before}


async def test_keys_come_with_key_auth(rig, make_spec) -> None:
    """No keys while key auth is off (409 says why), a pair once it is on, the same pair after it was off again."""
    worker = await rig.ready_worker("a")
    await put(rig, "diabetes", make_spec(auth_enabled=False, token_auth_enabled=True))
    with pytest.raises(Refused, match="auth_enabled is false") as refused:
        rig.catalog.keys("diabetes")
    assert refused.value.status == 409
    await put(rig, "diabetes", make_spec())
    first = rig.catalog.keys("diabetes")
    await put(rig, "diabetes", make_spec(auth_enabled=False))
    assert worker.services["diabetes"].keys == ()
    await put(rig, "diabetes", make_spec())
    assert rig.catalog.keys("diabetes") == first


async def test_changes_go_one_at_a_time(rig, make_spec) -> None:
    """Many regenerations at once: each answer names a version of its own, and the last one saved is what is served."""
    await put(rig, "diabetes", make_spec())
    worker = await rig.ready_worker("a")
    made = await asyncio.gather(*(rig.catalog.regenerate("diabetes", "primary") for _ in range(20)))
    assert sorted(one.record.version for one in made) == list(range(2, 22))
    newest = max(made, key=lambda one: one.record.version)
    assert rig.catalog.keys("diabetes")["primary"][0] == newest.value
    served = {entry.slot: entry.id for entry in worker.services["diabetes"].keys}
    assert served["primary"] == newest.record.id


async def test_token_of_an_earlier_service_looks_older(rig, make_spec) -> None:
    """A service made again in the same second is born after every token of the one before."""
    await put(rig, "diabetes", make_spec())
    issued_at = int(datetime.now(UTC).timestamp())
    await rig.catalog.delete("diabetes", lambda _: None)
    await put(rig, "diabetes", make_spec())
    assert rig.catalog.entry("diabetes").born > issued_at


async def test_full_scoreboard_is_told(rig, make_spec, board) -> None:
    """When there are no rows left the change is refused and says what to do."""
    board.size = 1
    with pytest.raises(Refused, match="scoreboard") as refused:
        await put(rig, "diabetes", make_spec(backends=("http://a:1", "http://b:1")))
    assert refused.value.status == 503
    assert not rig.store.service
