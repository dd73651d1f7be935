"""Who gets in: every operation against every kind of caller who must not."""

from __future__ import annotations

import pytest

from gateway.control.api.credential import Actor, AdminToken
from gateway.control.api.operations import OPERATIONS
from gateway.core.grant import Grants

CLOSED = [operation for operation in OPERATIONS if operation.role is not None]
TOKEN = "sga_" + "t" * 40
WRONG = [
    {},
    {"Authorization": ""},
    {"Authorization": "Bearer"},
    {"Authorization": "Bearer "},
    {"Authorization": f"Basic {TOKEN}"},
    {"Authorization": TOKEN},
    {"Authorization": f"Bearer {TOKEN}x"},
    {"Authorization": f"Bearer {TOKEN[:-1]}"},
    {"Authorization": "Bearer ümlaut"},
    {"Cookie": f"scoregate={TOKEN}"},
]


def url(operation) -> str:
    return "/v1" + operation.path.format(name="diabetes", slot="primary", caller="bank-a")


@pytest.mark.parametrize("operation", CLOSED, ids=lambda operation: operation.id)
async def test_nobody_without_the_token(api, operation) -> None:
    """Each operation answers each wrong credential with 401 and a challenge, and does nothing."""
    await api.put()
    before = dict(api.rig.store.key)
    for headers in WRONG:
        answer = await api.client.request(operation.method, url(operation), headers=headers)
        assert answer.status == 401, headers
        challenge = answer.headers["WWW-Authenticate"]
        assert challenge.startswith("Bearer realm=")
        assert ("invalid_token" in challenge) == ("Authorization" in headers)
        assert answer.content_type == "application/problem+json"
    assert api.rig.store.key == before
    assert "diabetes" in api.rig.catalog.services


@pytest.mark.parametrize("operation", CLOSED, ids=lambda operation: operation.id)
async def test_no_scoring_credential_opens_it(api, operation) -> None:
    """Neither a key nor a token of a service opens the admin API."""
    await api.put(token_auth_enabled=True)
    keys = await (await api("GET", "/services/diabetes/keys")).json()
    token = (await (await api("POST", "/services/diabetes/token")).json())["token"]
    for credential in (keys["primary_key"], keys["secondary_key"], token):
        headers = {"Authorization": f"Bearer {credential}"}
        answer = await api.client.request(operation.method, url(operation), headers=headers)
        assert answer.status == 401
        assert credential not in await answer.text()


async def test_two_credentials(api) -> None:
    """Two Authorization headers are one too many, even when both are right."""
    headers = [("Authorization", f"Bearer {TOKEN}")] * 2
    assert (await api.client.get("/v1/services", headers=headers)).status == 401


async def test_unknown_paths_are_told_to_callers_only(api) -> None:
    """Without a credential an unknown path looks like a closed one."""
    for path in ("/v1", "/v1/", "/v1/nothing", "/v1/services/x/y/z"):
        assert (await api.client.get(path)).status == 401
        assert (await api.client.get(path, headers=api.headers)).status == 404


async def test_right_token_opens(api) -> None:
    """The control of this suite: the same requests with the right token get in; the scheme is case-insensitive."""
    await api.put()
    for scheme in ("Bearer", "bearer", "BEARER"):
        answer = await api.client.get("/v1/services/diabetes", headers={"Authorization": f"{scheme} {TOKEN}"})
        assert answer.status == 200


async def test_openapi_is_open(api) -> None:
    """The description of the API needs no credential."""
    assert (await api.client.get("/v1/openapi.json")).status == 200


def test_token_is_not_in_its_repr() -> None:
    """The checker of the token holds and shows nothing of it."""
    checker = AdminToken(TOKEN)
    assert checker.actor(TOKEN) == Actor("admin", Grants("owner"))
    assert TOKEN not in repr(checker)
    assert not any(TOKEN.encode() in getattr(checker, name) for name in checker.__slots__)
