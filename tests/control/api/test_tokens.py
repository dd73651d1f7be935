"""Tokens over the admin API: issued, revoked, and the keys that sign them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.core.jws import TokenError
from gateway.core.settings import TokenSettings
from gateway.core.token import Verifier, why_not_now


async def issue(api, body=None):
    """The answer that carries a token for diabetes."""
    answer = await api("POST", "/services/diabetes/token", body)
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def revoke(api, body=None):
    return await api("POST", "/services/diabetes/tokens/revoke", body)


def claims_of(api, issued):
    trust = api.rig.workers["a"].trust
    return Verifier(trust.issuer, trust.verifying_keys).verify(issued["token"].encode())


def is_dead(api, claims) -> bool:
    """Whether the worker was told that this token opens nothing."""
    revoked = api.rig.workers["a"].services["diabetes"].revoked
    subject = revoked.subjects.get(claims.subject, 0)
    return claims.issued_at < max(revoked.before, subject) or claims.token_id in revoked.token_ids


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


async def test_a_token_is_revoked_by_its_id(api) -> None:
    """The worker knows when it is answered; another token of the same subject opens on."""
    await api.put(token_auth_enabled=True)
    one, two = claims_of(api, await issue(api)), claims_of(api, await issue(api))
    answer = await revoke(api, {"jti": one.token_id})
    assert (answer.status, await answer.json()) == (200, {"jti": one.token_id})
    assert is_dead(api, one)
    assert not is_dead(api, two)


@pytest.mark.parametrize("body", [None, {}, {"subject": "admin"}])
async def test_tokens_are_revoked_by_service_and_subject(api, body) -> None:
    """All issued until now are dead; one issued right after it, in the same second, opens."""
    await api.put(token_auth_enabled=True)
    before = [claims_of(api, await issue(api)) for _ in range(2)]
    answer = await revoke(api, body)
    told = await answer.json()
    after = claims_of(api, await issue(api))
    assert answer.status == 200
    assert [is_dead(api, one) for one in (*before, after)] == [True, True, False]
    assert datetime.fromisoformat(told["revoked_before"]).timestamp() == after.issued_at
    assert why_not_now(after, datetime.now(UTC).timestamp()) is None


async def test_revoked_again_in_the_same_second(api) -> None:
    """Each revocation ends what was issued before it, however fast they follow one another."""
    await api.put(token_auth_enabled=True)
    for body in (None, {"subject": "admin"}, None, {"subject": "admin"}):
        claims = claims_of(api, await issue(api))
        assert not is_dead(api, claims)
        assert (await revoke(api, body)).status == 200
        assert is_dead(api, claims)


async def test_another_subject_is_not_revoked(api) -> None:
    """Only the tokens of whom it names."""
    await api.put(token_auth_enabled=True)
    claims = claims_of(api, await issue(api))
    assert (await revoke(api, {"subject": "somebody"})).status == 200
    assert not is_dead(api, claims)


async def test_a_service_made_again_has_no_revocations(api) -> None:
    """They go with it; its old tokens are dead for being older than the new one."""
    await api.put(token_auth_enabled=True)
    claims = claims_of(api, await issue(api))
    await revoke(api, {"jti": claims.token_id})
    await api("DELETE", "/services/diabetes")
    await api.put(token_auth_enabled=True)
    served = api.rig.workers["a"].services["diabetes"]
    assert not served.revoked.token_ids
    assert not api.rig.store.revocations()
    assert claims.issued_at < served.born


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"jti": "a", "subject": "b"}, "subject"),
        ({"jti": ""}, "jti"),
        ({"jti": "a b"}, "jti"),
        ({"jti": "x" * 129}, "jti"),
        ({"jti": 1}, "jti"),
        ({"subject": ""}, "subject"),
        ({"subject": "a\u0000"}, "subject"),
        ({"subject": "x" * 256}, "subject"),
        ({"revoked_before": "2026-11-21T18:00:00Z"}, "revoked_before"),
    ],
)
async def test_bad_revocation(api, body, path: str) -> None:
    """400 with the field, and nothing is revoked."""
    await api.put(token_auth_enabled=True)
    answer = await revoke(api, body)
    assert answer.status == 400
    assert path in [error["path"] for error in (await answer.json())["errors"]]
    assert not api.rig.store.revocations()


async def test_revoking_at_no_service(api) -> None:
    """404 before anything is saved."""
    assert (await api("POST", "/services/nothing/tokens/revoke")).status == 404


async def test_a_revocation_is_audited(api) -> None:
    """Who revoked what, in the transaction of the revocation."""
    await api.put(token_auth_enabled=True)
    await revoke(api, {"subject": "alice"})
    told = api.rig.store.entries[-1]
    assert (told.action, told.service, told.target, told.actor) == ("revoke_tokens", "diabetes", "alice", "admin")


async def test_signing_keys(api) -> None:
    """One signs, the next is published already; public names only."""
    keys = (await (await api("GET", "/signing-keys")).json())["value"]
    assert sorted(key["state"] for key in keys) == ["active", "next"]
    assert all(key.keys() == {"kid", "state", "not_after"} for key in keys)
    assert {key["kid"] for key in keys} == {key.kid for key in api.rig.workers["a"].trust.verifying_keys}


async def test_the_next_key_signs_on_demand(api) -> None:
    """It was published before; the old one verifies on, and its successor is known to the worker."""
    await api.put(token_auth_enabled=True)
    before = {key["state"]: key["kid"] for key in (await (await api("GET", "/signing-keys")).json())["value"]}
    old = await issue(api)
    answer = await api("POST", "/signing-keys/rotate")
    after = {key["state"]: key for key in (await answer.json())["value"]}
    assert answer.status == 200
    assert after["active"]["kid"] == before["next"]
    assert after["retiring"]["kid"] == before["active"]
    assert after["retiring"]["not_after"] > datetime.now(UTC).isoformat()
    assert claims_of(api, old).kid == before["active"]
    assert claims_of(api, await issue(api)).kid == before["next"]
    assert {key.kid for key in api.rig.workers["a"].trust.verifying_keys} == {key["kid"] for key in after.values()}


async def test_a_rotation_may_end_every_token(api) -> None:
    """For a key that was stolen: what it signed opens nothing once this is answered."""
    await api.put(token_auth_enabled=True)
    old = await issue(api)
    answer = await api("POST", "/signing-keys/rotate", {"revoke": True})
    assert sorted(key["state"] for key in (await answer.json())["value"]) == ["active", "next"]
    with pytest.raises(TokenError, match="no longer"):
        claims_of(api, old)
    assert claims_of(api, await issue(api)).subject == "admin"


async def test_a_rotation_is_audited(api) -> None:
    """Who rotated, and which key signs now."""
    await api("POST", "/signing-keys/rotate")
    told = api.rig.store.entries[-1]
    assert (told.action, told.actor, told.target) == ("rotate_signing_keys", "admin", api.rig.tokens.keys.signing.kid)


async def test_bad_rotation(api) -> None:
    """Unknown fields are refused, and nothing rotates."""
    before = api.rig.tokens.keys.records
    assert (await api("POST", "/signing-keys/rotate", {"now": True})).status == 400
    assert api.rig.tokens.keys.records == before
