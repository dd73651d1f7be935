"""Roles by operations, in full: what each role may do, everywhere, at its own service, and at another's."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from operation_requests import BODIES, CLOSED, make_services, path

from gateway.control.oidc import OidcIdentity
from gateway.core.grant import Grants
from gateway.core.jws import TokenError
from gateway.core.settings import AdminSettings

ROLES = ("caller", "reader", "contributor", "owner")
LEAST = {
    "list_services": "reader",
    "get_service": "reader",
    "put_service": "owner",
    "patch_service": "owner",
    "delete_service": "owner",
    "get_status": "reader",
    "get_keys": "contributor",
    "regenerate_key": "owner",
    "get_key": "reader",
    "patch_key": "owner",
    "list_callers": "owner",
    "create_caller": "owner",
    "get_caller": "owner",
    "patch_caller": "owner",
    "regenerate_caller_key": "owner",
    "revoke_caller": "owner",
    "issue_token": "caller",
    "revoke_tokens": "owner",
    "list_signing_keys": "owner",
    "rotate_signing_keys": "owner",
    "get_master_key": "owner",
    "rewrap_keys": "owner",
    "list_audit": "owner",
}
"""Written down once more, by hand: a role that is changed in the table by mistake is found here."""
PEOPLE = {
    **{f"{role}-everywhere": Grants(role) for role in ROLES},
    **{f"{role}-of-diabetes": Grants(None, {"diabetes": role}) for role in ROLES},
    **{f"{role}-of-adult": Grants(None, {"adult": role}) for role in ROLES},
    "nobody": Grants(),
}


class People:
    """Whose bearer tokens name them, with a point on each side so that they look like tokens."""

    async def claims(self, bearer: str) -> OidcIdentity:
        name = bearer.split(".")[1]
        if name not in PEOPLE:
            raise TokenError("The token's signature does not verify.")
        return OidcIdentity(f"oidc:{name}", PEOPLE[name])


def as_one(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer eyJ.{name}.x"}


@pytest.fixture
async def api(make_api):
    return await make_api(identities=People(), admin=AdminSettings(max_auth_failures_per_minute=0))


def may(operation, grants: Grants) -> bool:
    """By DESIGN: of everything, of the service in the path, or the list of what one may see."""
    enough = ROLES[ROLES.index(LEAST[operation.id]) :]
    if grants.everywhere in enough:
        return True
    if "{name}" in operation.path:
        return grants.services.get("diabetes") in enough
    return operation.id == "list_services" and any(role in enough for role in grants.services.values())


async def mistakes(api, operation) -> list[str]:
    """Who got in and may not, or may and did not."""
    found = []
    for name, grants in PEOPLE.items():
        await make_services(api, "diabetes", "adult")
        body = BODIES.get(operation.id)
        headers = as_one(name) | ({"Content-Type": "application/json"} if body is None else {})
        answer = await api.client.request(operation.method, path(operation), json=body, headers=headers)
        expected = "done" if may(operation, grants) else "403"
        got = "done" if answer.status < 400 else str(answer.status)
        if expected != got:
            found.append(f"{name}: {got}, not {expected}")
    return found


@pytest.mark.parametrize("operation", CLOSED, ids=lambda operation: operation.id)
async def test_matrix(api, operation) -> None:
    """Thirteen people: each may do exactly what the table gives to a role that they have there, and it is done."""
    assert operation.role == LEAST[operation.id]
    assert await mistakes(api, operation) == []


async def test_control_a_gate_that_forgets_the_service(api, monkeypatch) -> None:
    """A gate that takes a role for one service as one for all is found by the matrix."""
    monkeypatch.setattr(Grants, "allow", lambda self, least, _: self.allow_somewhere(least))
    operation = next(operation for operation in CLOSED if operation.id == "regenerate_key")
    assert await mistakes(api, operation) == ["owner-of-adult: done, not 403"]


async def test_bootstrap_token_is_an_owner(api) -> None:
    """The bearer of the file's token may do everything."""
    for operation in CLOSED:
        await make_services(api, "diabetes")
        answer = await api.client.request(
            operation.method, path(operation), json=BODIES.get(operation.id), headers=api.headers
        )
        assert answer.status < 400, operation.id


async def test_who_may_read_one_service_is_shown_that_one(api) -> None:
    """The list of services has what one may read, and its pages do not tell how many others there are."""
    await make_services(api, "diabetes", "adult", "digits")
    for name, seen in {
        "reader-everywhere": ["adult", "diabetes", "digits"],
        "owner-of-adult": ["adult"],
        "reader-of-diabetes": ["diabetes"],
    }.items():
        answer = await (await api.client.get("/v1/services?limit=1", headers=as_one(name))).json()
        assert ("next" in answer) == (len(seen) > 1)
        answer = await (await api.client.get("/v1/services", headers=as_one(name))).json()
        assert [service["name"] for service in answer["value"]] == seen
    assert (await api.client.get("/v1/services", headers=as_one("caller-of-diabetes"))).status == 403


async def test_an_owner_reads_the_audit_of_the_own_service(api) -> None:
    """Only with the parameter that says which; never that of another."""
    await make_services(api, "diabetes", "adult")
    headers = as_one("owner-of-diabetes")
    answer = await (await api.client.get("/v1/audit?service=diabetes", headers=headers)).json()
    assert {entry["service"] for entry in answer["value"]} == {"diabetes"}
    for query in ("", "?service=adult", "?service=", "?service=adult&service=diabetes"):
        assert (await api.client.get(f"/v1/audit{query}", headers=headers)).status == 403
    twice = await api.client.get("/v1/audit?service=diabetes&service=adult", headers=headers)
    assert {entry["service"] for entry in (await twice.json())["value"]} == {"diabetes"}


@pytest.mark.parametrize("least", [*ROLES[1:], "never"])
async def test_who_may_read_keys(make_api, least: str) -> None:
    """admin.reveal_keys says from which role on; never: not even the bearer of the bootstrap token."""
    api = await make_api(identities=People(), admin=AdminSettings(reveal_keys=least))
    await make_services(api, "diabetes")
    for role in ROLES:
        answer = await api.client.get("/v1/services/diabetes/keys", headers=as_one(f"{role}-of-diabetes"))
        enough = least != "never" and ROLES.index(role) >= ROLES.index(least)
        assert answer.status == (200 if enough else 403)
    assert ((await api("GET", "/services/diabetes/keys")).status == 403) == (least == "never")


async def test_the_refusal_says_what_it_takes(api) -> None:
    """403 names the role it takes and the one that they have there."""
    await make_services(api, "diabetes")
    answer = await api.client.delete("/v1/services/diabetes", headers=as_one("reader-of-diabetes"))
    assert (await answer.json())["detail"] == ("This takes the role owner; oidc:reader-of-diabetes is reader there.")
    answer = await api.client.get("/v1/signing-keys", headers=as_one("owner-of-diabetes"))
    assert (await answer.json())["detail"] == (
        "This takes the role owner; oidc:owner-of-diabetes has no role everywhere."
    )


async def test_a_token_is_issued_in_ones_own_name(api) -> None:
    """The scoring token of somebody says whose it is, and from where they came."""
    import jwt

    await make_services(api, "diabetes")
    answer = await api.client.post("/v1/services/diabetes/token", headers=as_one("caller-of-diabetes"))
    claims = jwt.decode((await answer.json())["token"], options={"verify_signature": False})
    assert claims["sub"] == "oidc:caller-of-diabetes"
