"""Keys over the admin API."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.core import key
from gateway.core.record import KeyUseRecord
from gateway.core.settings import AdminSettings


async def regenerate(api, body=None, slot: str = "primary"):
    return await api("POST", f"/services/diabetes/keys/{slot}/regenerate", body)


async def test_get_keys(api) -> None:
    """Both keys and what is known of their slots; only what is known to be true."""
    await api.put()
    keys = await (await api("GET", "/services/diabetes/keys")).json()
    assert set(keys) == {"primary_key", "secondary_key", "slots"}
    assert keys["primary_key"] != keys["secondary_key"]
    for slot in ("primary", "secondary"):
        assert keys["slots"][slot].items() >= {"expires_at": None, "grace_until": None, "former": None}.items()
        assert keys["slots"][slot].items() >= {"last_used_at": None, "uses_24h": 0, "safe_to_regenerate": False}.items()
        assert keys["slots"][slot]["advice"].startswith(f"{slot}: never used, 0 uses in 24 h: too early to tell")
        assert abs(datetime.now(UTC) - datetime.fromisoformat(keys["slots"][slot]["created_at"])).seconds < 60
    assert (await api("GET", "/services/nothing/keys")).status == 404


async def test_get_keys_without_key_auth(api) -> None:
    """409 with the reason where no key opens the service."""
    await api.put(auth_enabled=False)
    answer = await api("GET", "/services/diabetes/keys")
    assert answer.status == 409
    assert "auth_enabled is false" in (await answer.json())["detail"]


@pytest.mark.parametrize("slot", ["primary", "secondary"])
async def test_regenerate(api, slot: str) -> None:
    """A random key in the slot, acknowledged by the worker, shown by the next read; the other one stays."""
    await api.put()
    before = await (await api("GET", "/services/diabetes/keys")).json()
    made = await (await regenerate(api, slot=slot)).json()
    after = await (await api("GET", "/services/diabetes/keys")).json()
    assert made["slot"] == slot
    assert made["acknowledged"] == {"workers": 1, "replicas": 1, "of": 1}
    assert made["grace_until"] is None
    assert not key.is_mistyped(made["value"])
    assert after[f"{slot}_key"] == made["value"] != before[f"{slot}_key"]
    assert after["slots"][slot]["id"] == made["id"] != before["slots"][slot]["id"]
    other = "secondary" if slot == "primary" else "primary"
    assert after[f"{other}_key"] == before[f"{other}_key"]
    digest = key.digest(api.rig.trust.digest_key, made["value"].encode())
    assert digest in {entry.digest for entry in api.rig.workers["a"].services["diabetes"].keys}


@pytest.mark.parametrize("body", [{"value": "my-own-value"}, {"value": "my-own-value", "grace_seconds": 0}])
async def test_regenerate_with_value(api, body) -> None:
    """A given value becomes the key."""
    await api.put()
    made = await (await regenerate(api, body)).json()
    assert made["value"] == "my-own-value"


@pytest.mark.parametrize("body", [None, {}, {"value": None}, {"grace_seconds": None}])
async def test_regenerate_without_value(api, body) -> None:
    """No body, an empty one and null all ask for a random key."""
    await api.put()
    assert (await (await regenerate(api, body)).json())["value"].startswith("sg1_")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"value": ""}, "value"),
        ({"value": "has a space"}, "value"),
        ({"value": "ümlaut"}, "value"),
        ({"value": "x" * 1025}, "value"),
        ({"value": "sg1_" + "a" * 42}, "value"),
        ({"value": 5}, "value"),
        ({"grace_seconds": -1}, "grace_seconds"),
        ({"grace_seconds": 1.5}, "grace_seconds"),
        ({"grace_seconds": 31_536_001}, "grace_seconds"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2099-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": 4_070_908_800}, "expires_at"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"colour": 1}, "colour"),
    ],
)
async def test_bad_regenerate(api, body, path: str) -> None:
    """What cannot be done is refused with its path; the value is not repeated and the key stays."""
    await api.put()
    before = await (await api("GET", "/services/diabetes/keys")).json()
    answer = await regenerate(api, body)
    assert answer.status == 400
    assert [error["path"] for error in (await answer.json())["errors"]] == [path]
    if len(str(body.get("value", ""))) > 1:
        assert str(body["value"]) not in await answer.text()
    assert await (await api("GET", "/services/diabetes/keys")).json() == before


async def test_slots_never_hold_the_same_key(api) -> None:
    """The value of the other slot is refused."""
    await api.put()
    keys = await (await api("GET", "/services/diabetes/keys")).json()
    answer = await regenerate(api, {"value": keys["secondary_key"]})
    assert answer.status == 400
    assert keys["secondary_key"] not in await answer.text()


async def test_unknown_slot(api) -> None:
    """There are two slots."""
    await api.put()
    assert (await regenerate(api, slot="third")).status == 404


async def test_regenerate_answers_after_the_worker(api) -> None:
    """The HTTP answer comes after the worker's acknowledgement, not before."""
    await api.put()
    worker = api.rig.workers["a"]
    worker.acks.clear()
    answering = asyncio.create_task(regenerate(api))
    await worker.until_received(3)
    await asyncio.sleep(0.05)
    assert not answering.done()
    worker.acks.set()
    assert (await answering).status == 200


@pytest.mark.parametrize(("least", "status"), [("never", 403), ("owner", 200), ("reader", 200)])
async def test_reveal_keys(make_api, least: str, status: int) -> None:
    """`admin.reveal_keys: never` shows a key once, when it is regenerated."""
    api = await make_api(admin=AdminSettings(reveal_keys=least))
    await api.put()
    assert (await api("GET", "/services/diabetes/keys")).status == status
    assert "value" in await (await regenerate(api)).json()


def served(api, slot: str = "primary"):
    """The key as the worker has it."""
    return next(key for key in api.rig.workers["a"].services["diabetes"].keys if key.slot == slot)


def told(api, *uses: tuple[str, int]) -> None:
    """These keys were used so often in this hour."""
    hour = api.rig.uses.hour
    api.rig.uses.add([KeyUseRecord("diabetes", key_id, hour, count, int(time.time())) for key_id, count in uses])


async def slot_of(api, slot: str = "primary"):
    return await (await api("GET", f"/services/diabetes/keys/{slot}")).json()


async def test_regenerate_with_a_grace(api) -> None:
    """The worker has both values and the end of the old one; the end is told, and the old key's uses are apart."""
    await api.put()
    old = (await slot_of(api))["id"]
    asked = datetime.now(UTC)
    made = await (await regenerate(api, {"grace_seconds": 3600})).json()
    until = datetime.fromisoformat(made["grace_until"])
    assert -0.001 <= (until - asked).total_seconds() - 3600 < 60  # times are told in milliseconds
    assert (served(api).id, served(api).former.id) == (made["id"], old)
    assert abs(served(api).former.until - until.timestamp()) < 0.01
    told(api, (old, 5), (made["id"], 2))
    shown = await slot_of(api)
    assert (shown["grace_until"], shown["uses_24h"]) == (made["grace_until"], 2)
    assert (shown["former"]["id"], shown["former"]["uses_24h"]) == (old, 5)
    assert shown["former"]["last_used_at"] is not None
    assert (await slot_of(api, "secondary"))["former"] is None
    assert (await (await regenerate(api, {"grace_seconds": 0})).json())["grace_until"] is None
    assert (await slot_of(api))["former"] is None
    assert served(api).former is None


async def test_a_grace_that_is_over_is_not_shown(api) -> None:
    """What opens nothing is told to nobody."""
    await api.put()
    await regenerate(api, {"grace_seconds": 1})
    assert (await slot_of(api))["former"] is not None
    record = api.rig.catalog.key("diabetes", "primary")
    over = replace(record.former, until=datetime.now(UTC))
    service = api.rig.catalog.get("diabetes")
    api.rig.catalog.services["diabetes"] = replace(
        service, keys={**service.keys, "primary": replace(record, former=over)}
    )
    assert (await slot_of(api)).items() >= {"former": None, "grace_until": None}.items()


async def test_a_new_key_may_end(api) -> None:
    """As the request says, else as the service is configured; every worker knows when."""
    await api.put(key_lifetime_days=30)
    assert (await slot_of(api))["expires_at"] is not None
    assert (await regenerate(api, {"expires_at": "2099-01-31T01:00:00+01:00"})).status == 200
    assert (await slot_of(api))["expires_at"] == "2099-01-31T00:00:00.000Z"
    assert served(api).expires_at == datetime(2099, 1, 31, tzinfo=UTC).timestamp()


async def test_the_end_of_a_key_can_be_changed(api) -> None:
    """PATCH sets and takes away; value and id stay; the worker knows when it is answered."""
    await api.put()
    before = await (await api("GET", "/services/diabetes/keys")).json()
    answer = await api("PATCH", "/services/diabetes/keys/primary", {"expires_at": "2099-01-31T00:00:00Z"})
    shown = await answer.json()
    assert (answer.status, shown["slot"], shown["expires_at"]) == (200, "primary", "2099-01-31T00:00:00.000Z")
    assert served(api).expires_at == datetime(2099, 1, 31, tzinfo=UTC).timestamp()
    after = await (await api("GET", "/services/diabetes/keys")).json()
    assert (after["primary_key"], after["slots"]["primary"]["id"]) == (before["primary_key"], served(api).id)
    assert (await (await api("PATCH", "/services/diabetes/keys/primary", {"expires_at": None})).json())[
        "expires_at"
    ] is None
    assert served(api).expires_at is None


@pytest.mark.parametrize("body", [{}, {"expires_at": "2020-01-01T00:00:00Z"}, {"expires_at": 5}, {"value": "x"}])
async def test_bad_patch(api, body) -> None:
    """400 with the path; the key is what it was."""
    await api.put()
    before = await slot_of(api)
    answer = await api("PATCH", "/services/diabetes/keys/primary", body)
    assert answer.status == 400
    assert "expires_at" in {error["path"] for error in (await answer.json())["errors"]}
    assert (await slot_of(api))["expires_at"] == before["expires_at"]


@pytest.mark.parametrize("method", ["GET", "PATCH"])
async def test_no_slot(api, method: str) -> None:
    """404 for a slot and a service that there is not, 409 where no key opens."""
    await api.put()
    await api.put("open", auth_enabled=False)
    body = {"expires_at": None} if method == "PATCH" else None
    assert (await api(method, "/services/diabetes/keys/third", body)).status == 404
    assert (await api(method, "/services/nothing/keys/primary", body)).status == 404
    assert (await api(method, "/services/open/keys/primary", body)).status == 409


async def test_uses_are_shown_where_keys_are_not(make_api) -> None:
    """`reveal_keys: never` hides the values for good, and nothing of what an admin must know to rotate them."""
    api = await make_api(admin=AdminSettings(reveal_keys="never"))
    await api.put()
    made = await (await regenerate(api)).json()
    told(api, (made["id"], 7))
    answer = await api("GET", "/services/diabetes/keys/primary")
    assert made["value"] not in await answer.text()
    shown = await answer.json()
    assert (shown["uses_24h"], shown["safe_to_regenerate"]) == (7, False)
    refused = await (await api("GET", "/services/diabetes/keys")).json()
    assert "shown once, when it is regenerated" in refused["detail"]


async def test_the_answer_about_a_key_that_nobody_uses(api) -> None:
    """Yes, once it was watched for a day; no, with how often it was used, as soon as somebody uses it."""
    await api.put()
    service = api.rig.catalog.get("diabetes")
    old = replace(service.keys["secondary"], created_at=datetime.now(UTC) - timedelta(days=2))
    api.rig.catalog.services["diabetes"] = replace(service, keys={**service.keys, "secondary": old})
    shown = await slot_of(api, "secondary")
    assert shown["safe_to_regenerate"]
    assert shown["advice"] == "secondary: never used, 0 uses in 24 h: safe to regenerate"
    told(api, (old.id, 1))
    shown = await slot_of(api, "secondary")
    assert not shown["safe_to_regenerate"]
    assert "1 use in 24 h: not safe" in shown["advice"]
