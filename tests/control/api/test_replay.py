"""Idempotency-Key: the same change is made once."""

from __future__ import annotations

import asyncio

from gateway.control.api import replay

PATH = "/services/diabetes/keys/primary/regenerate"


async def test_same_key_same_answer(api) -> None:
    """A repeated regeneration gives the same key again and makes no other; without the header it does."""
    await api.put()
    headers = {"Idempotency-Key": "one"}
    first = await api("POST", PATH, {}, headers=headers)
    again = await api("POST", PATH, {}, headers=headers)
    assert await again.json() == await first.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert api.rig.store.key["diabetes", "primary"].version == 2
    assert await (await api("POST", PATH, {})).json() != await first.json()


async def test_status_and_headers_are_repeated(api, block) -> None:
    """A repeated creation is 201 again, with the same ETag; a repeated deletion is 204 again."""
    headers = {"Idempotency-Key": "make"}
    first = await api("PUT", "/services/diabetes", block, headers=headers)
    again = await api("PUT", "/services/diabetes", block, headers=headers)
    assert (again.status, again.headers["ETag"]) == (201, first.headers["ETag"])
    assert again.content_type == "application/json"
    for _ in range(2):
        assert (await api("DELETE", "/services/diabetes", headers={"Idempotency-Key": "drop"})).status == 204


async def test_other_body_is_refused(api) -> None:
    """The same key for another body or path is 422."""
    await api.put()
    headers = {"Idempotency-Key": "one"}
    await api("POST", PATH, {"value": "first-value"}, headers=headers)
    assert (await api("POST", PATH, {"value": "other-value"}, headers=headers)).status == 422
    assert (await api("POST", PATH.replace("primary", "secondary"), {}, headers=headers)).status == 422


async def test_at_the_same_time(api) -> None:
    """Two at once with one key: one change, one answer."""
    await api.put()
    headers = {"Idempotency-Key": "one"}
    answers = await asyncio.gather(*(api("POST", PATH, {}, headers=headers) for _ in range(5)))
    assert len({await answer.text() for answer in answers}) == 1
    assert api.rig.store.key["diabetes", "primary"].version == 2


async def test_failed_change_may_be_tried_again(api) -> None:
    """A change that failed is made when it is repeated."""
    await api.put()
    headers = {"Idempotency-Key": "one"}
    api.rig.store.broken = True
    assert (await api("POST", PATH, {}, headers=headers)).status == 503
    api.rig.store.broken = False
    assert (await api("POST", PATH, {}, headers=headers)).status == 200


async def test_reads_take_no_key(api) -> None:
    """A read is never answered from memory."""
    await api.put()
    headers = {"Idempotency-Key": "one"}
    await api("GET", "/services/diabetes", headers=headers)
    await api.put(description="changed")
    assert (await (await api("GET", "/services/diabetes", headers=headers)).json())["description"] == "changed"


async def test_key_too_long(api) -> None:
    """A key beyond 255 characters is refused."""
    await api.put()
    assert (await api("POST", PATH, {}, headers={"Idempotency-Key": "x" * 256})).status == 400


async def test_memory_is_bounded(api, monkeypatch) -> None:
    """Old answers go: after ten minutes, or when there are too many."""
    now = 0.0
    memory = replay.Replay(clock=lambda: now)
    monkeypatch.setattr(replay, "MAX_ENTRIES", 3)
    for number in range(10):
        memory._entry(str(number), b"f")
    assert len(memory._entries) == 3
    now = replay.KEEP_SECONDS + 1
    memory._entry("late", b"f")
    assert list(memory._entries) == ["late"]
