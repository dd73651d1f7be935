"""Keys and tokens over the admin API."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from gateway.core import key
from gateway.core.settings import AdminSettings, TokenSettings
from gateway.core.token import TokenError, Verifier, why_not_now


async def regenerate(api, body=None, slot: str = "primary"):
    return await api("POST", f"/services/diabetes/keys/{slot}/regenerate", body)


async def test_get_keys(api) -> None:
    """Both keys and what is known of their slots; only what is known to be true."""
    await api.put()
    keys = await (await api("GET", "/services/diabetes/keys")).json()
    assert set(keys) == {"primary_key", "secondary_key", "slots"}
    assert keys["primary_key"] != keys["secondary_key"]
    for slot in ("primary", "secondary"):
        assert set(keys["slots"][slot]) == {"id", "created_at", "expires_at", "grace_until"}
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
        ({"grace_seconds": 60}, "grace_seconds"),
        ({"grace_seconds": -1}, "grace_seconds"),
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


async def test_token(api) -> None:
    """A token opens its service, is verified by what workers hold, and says when to come back."""
    await api.put(token_auth_enabled=True)
    answer = await (await api("POST", "/services/diabetes/token")).json()
    assert answer["token_type"] == "Bearer"
    trust = api.rig.workers["a"].trust
    claims = Verifier(trust.issuer, trust.verifying_keys).verify(answer["token"].encode())
    assert claims.service == "diabetes"
    assert claims.subject == "admin"
    assert claims.verbs == {"score", "batch", "swagger"}
    assert claims.issued_at >= api.rig.catalog.entry("diabetes").born
    assert why_not_now(claims, datetime.now(UTC).timestamp()) is None
    assert answer["expires_at"].endswith("Z")
    assert datetime.fromisoformat(answer["expires_at"]).timestamp() == claims.expires_at
    assert datetime.fromisoformat(answer["refresh_by"]).timestamp() == claims.issued_at + 43_200
    assert claims.expires_at == claims.issued_at + 86_400


async def test_token_of_a_foreign_issuer_fails(api) -> None:
    """The control: a verifier with another issuer refuses the same token."""
    await api.put(token_auth_enabled=True)
    answer = await (await api("POST", "/services/diabetes/token")).json()
    with pytest.raises(TokenError):
        Verifier("urn:other", api.rig.trust.verifying_keys).verify(answer["token"].encode())


async def test_token_with_wishes(make_api) -> None:
    """Fewer verbs and a shorter life on request; `refresh_by` keeps its share of the life."""
    api = await make_api(tokens=TokenSettings(refresh_after_seconds=500, lifetime_seconds=1000))
    await api.put(token_auth_enabled=True)
    body = {"verbs": ["score"], "lifetime_seconds": 100}
    answer = await (await api("POST", "/services/diabetes/token", body)).json()
    trust = api.rig.trust
    claims = Verifier(trust.issuer, trust.verifying_keys).verify(answer["token"].encode())
    assert claims.verbs == {"score"}
    assert claims.expires_at - claims.issued_at == 100
    assert datetime.fromisoformat(answer["refresh_by"]).timestamp() == claims.issued_at + 50


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"verbs": ["admin"]}, "verbs.0"),
        ({"verbs": []}, "verbs"),
        ({"lifetime_seconds": 86_401}, "lifetime_seconds"),
        ({"lifetime_seconds": 0}, "lifetime_seconds"),
        ({"lifetime_seconds": 1.5}, "lifetime_seconds"),
        ({"audience": "x"}, "audience"),
    ],
)
async def test_bad_token_request(api, body, path: str) -> None:
    """Verbs we do not know and lives beyond the configured one are refused with their path."""
    await api.put(token_auth_enabled=True)
    answer = await api("POST", "/services/diabetes/token", body)
    assert answer.status == 400
    assert path in [error["path"] for error in (await answer.json())["errors"]]


async def test_token_without_token_auth(api) -> None:
    """409 with the reason where no token opens the service; 404 where there is no service."""
    await api.put()
    answer = await api("POST", "/services/diabetes/token")
    assert answer.status == 409
    assert "token_auth_enabled" in (await answer.json())["detail"]
    assert (await api("POST", "/services/nothing/token")).status == 404


async def test_signing_keys(api) -> None:
    """The active signing key by its public name, and nothing of its private half."""
    keys = (await (await api("GET", "/signing-keys")).json())["value"]
    assert keys == [{"kid": api.rig.trust.verifying_keys[0].kid, "state": "active", "not_after": None}]
