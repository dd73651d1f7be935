"""Admins by OpenID Connect, from the provider's token to the answer of the admin API."""

from __future__ import annotations

import pytest
from aiohttp import ClientSession
from oidc_provider import AUDIENCE, OidcProvider

from gateway.control.oidc import Identities, Provider
from gateway.control.oidc.provider import REFETCH_SECONDS
from gateway.core.settings import AdminSettings, OidcSettings

ROLES = {"owner": ["ml"], "contributor": ["{service}:contributor"], "caller": ["apps"]}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def provider():
    running = await OidcProvider().start()
    yield running
    await running.stop()


@pytest.fixture
async def api(make_api, provider, clock):
    trusted = Provider(provider.issuer, ClientSession(), clock)
    settings = OidcSettings(provider.issuer, AUDIENCE, roles=ROLES)
    yield await make_api(identities=Identities(settings, trusted), admin=AdminSettings(max_auth_failures_per_minute=10))
    await trusted.close()


async def ask(api, token: str, path: str = "/services", method: str = "GET"):
    return await api.client.request(method, f"/v1{path}", headers={"Authorization": f"Bearer {token}"})


async def test_people_come_in_with_their_roles(api, provider) -> None:
    """An owner does everything; a contributor of one service reads its keys; both stand in the audit log by name."""
    await api.put("diabetes")
    await api.put("adult")
    owner, one = provider.token("ml", sub="ann"), provider.token("diabetes:contributor", sub="bob")
    assert (await ask(api, owner, "/services/adult/keys/primary/regenerate", "POST")).status == 200
    assert (await ask(api, one, "/services/diabetes/keys")).status == 200
    assert (await ask(api, one, "/services/adult/keys")).status == 403
    assert (await ask(api, one, "/services/diabetes/keys/primary/regenerate", "POST")).status == 403
    told = [(entry.actor, entry.action, entry.service) for entry in api.rig.store.entries]
    assert told[-2:] == [("oidc:ann", "regenerate_key", "adult"), ("oidc:bob", "get_keys", "diabetes")]


async def test_the_provider_rotates(api, provider, clock) -> None:
    """Tokens of the key before the rotation and of the one after it open; those of a key that was taken out do not."""
    first = provider.token("ml")
    assert (await ask(api, first)).status == 200
    provider.rotate("EdDSA", keep=1)
    clock.now += REFETCH_SECONDS
    second = provider.token("ml")
    assert [(await ask(api, token)).status for token in (first, second)] == [200, 200]
    provider.rotate("RS256", keep=1)
    clock.now += REFETCH_SECONDS
    third = provider.token("ml")
    assert [(await ask(api, token)).status for token in (third, second, first)] == [200, 200, 401]


async def test_the_provider_is_away(api, provider, clock) -> None:
    """Known keys go on; what a new key may have signed is 503 with when to try again; the file's token opens anyway."""
    known = provider.token("ml")
    assert (await ask(api, known)).status == 200
    provider.rotate()
    unknown = provider.token("ml")
    port = await provider.stop()
    clock.now += REFETCH_SECONDS
    answer = await ask(api, unknown)
    assert answer.status == 503
    assert 1 <= int(answer.headers["Retry-After"]) <= REFETCH_SECONDS
    assert "the log of the gateway says why" in (await answer.json())["detail"]
    assert (await ask(api, known)).status == 200
    assert (await api("GET", "/services")).status == 200
    await provider.start(port)
    clock.now += REFETCH_SECONDS
    assert (await ask(api, unknown)).status == 200


async def test_wrong_tokens_are_told_and_counted(api, provider) -> None:
    """401 with a challenge and the reason, and nothing of the token; too many of them are 429; a good one opens."""
    for number in range(10):
        answer = await ask(api, provider.token("ml", aud="account"))
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="scoregate admin", error="invalid_token"'
        assert "admin.oidc.audience" in (await answer.json())["detail"], number
    answer = await ask(api, provider.token("ml", aud="account"))
    assert answer.status == 429
    assert int(answer.headers["Retry-After"]) >= 1
    assert "admin.oidc.audience" in (await answer.json())["detail"]
    assert (await ask(api, provider.token("ml"))).status == 200
    assert (await api("GET", "/services")).status == 200


async def test_no_credential_is_no_failure(api) -> None:
    """Who sends none is told what to send, any number of times."""
    for _ in range(30):
        assert (await api.client.get("/v1/services")).status == 401
    assert (await ask(api, "wrong")).status == 401


async def test_a_provider_that_is_away_is_no_failure_of_the_caller(api, provider) -> None:
    """503 is not counted against the address."""
    token = provider.token("ml")
    port = await provider.stop()
    for _ in range(30):
        assert (await ask(api, token)).status == 503
    assert (await ask(api, "wrong")).status == 401
    await provider.start(port)


async def test_a_forbidden_operation_is_no_failure(api, provider) -> None:
    """403 is not counted: the credential was right."""
    for _ in range(30):
        assert (await ask(api, provider.token("apps"), "/signing-keys")).status == 403
    assert (await ask(api, "wrong")).status == 401


async def test_without_a_provider_tokens_open_nothing(make_api, provider) -> None:
    """The control: the same token at a gateway that trusts no provider."""
    api = await make_api()
    assert (await ask(api, provider.token("ml"))).status == 401
    assert provider.asked == 0
