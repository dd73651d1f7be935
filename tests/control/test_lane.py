"""What workers pass on: tokens for identities of a provider, by role; told, slowed down and counted by the client."""

from __future__ import annotations

import pytest

from gateway.control import lane
from gateway.control.api.attempts import Attempts
from gateway.control.failures import Failures
from gateway.control.oidc import OidcIdentity, ProviderAway
from gateway.core.grant import Grants
from gateway.core.jws import TokenError
from gateway.core.token import Verifier

CLIENT = "203.0.113.7"


class Identities:
    """A provider's judgement, without a provider: the credential says what it is."""

    async def claims(self, bearer):
        if bearer == "away":
            raise ProviderAway("https://id.example", 12.5)
        if bearer not in ("caller", "owner", "elsewhere", "nobody"):
            raise TokenError("The token's signature does not verify.")
        grants = {"caller": Grants(services={"diabetes": "caller"}), "owner": Grants("owner"), "nobody": Grants()}
        return OidcIdentity(f"oidc:{bearer}", grants.get(bearer, Grants(services={"adult": "caller"})))


@pytest.fixture
async def ask(aiohttp_client, make_rig, make_spec):
    """`ask(credential, body, service)`: the answer to a worker that passes on what this client sent."""
    rig = await make_rig({"diabetes": make_spec(token_auth_enabled=True), "adult": make_spec()})
    await rig.ready_worker("a")
    attempts = Attempts(Failures(3), rig.audit)
    app = lane.application(lane.Exchange(rig.catalog, rig.tokens, Identities(), attempts), rig.audit)
    client = await aiohttp_client(app)

    async def send(credential=None, body=None, service="diabetes", *, address=CLIENT, method="POST"):
        headers = {"x-forwarded-for": address, "x-request-id": "r-7"}
        if credential is not None:
            headers["Authorization"] = f"Bearer {credential}"
        return await client.request(method, f"/services/{service}/token", headers=headers, json=body)

    send.rig = rig
    send.client = client
    return send


def claims_of(rig, document):
    return Verifier(rig.trust.issuer, rig.trust.verifying_keys).verify(document["token"].encode())


async def test_the_role_caller_gets_a_token(ask) -> None:
    """In its own name, as wished, for nobody's cache; and it is told whose it was, from where, and which."""
    answer = await ask("caller", {"verbs": ["score"], "lifetime_seconds": 100})
    claims = claims_of(ask.rig, await answer.json())
    assert (answer.status, answer.headers["Cache-Control"], answer.headers["x-request-id"]) == (200, "no-store", "r-7")
    assert (claims.subject, claims.service, claims.verbs) == ("oidc:caller", "diabetes", {"score"})
    told = ask.rig.store.entries[-1]
    assert (told.actor, told.action, told.service) == ("oidc:caller", "exchange_token", "diabetes")
    assert (told.target, told.address) == (claims.token_id, CLIENT)


async def test_without_wishes(ask) -> None:
    """An empty body asks for all verbs and the longest life."""
    claims = claims_of(ask.rig, await (await ask("owner")).json())
    assert claims.verbs == {"score", "batch", "swagger"}
    assert claims.expires_at - claims.issued_at == 86_400


@pytest.mark.parametrize(
    ("request_", "status", "challenge"),
    [
        ((None, None, "diabetes"), 401, 'Bearer realm="scoregate"'),
        (("", None, "diabetes"), 401, 'Bearer realm="scoregate", error="invalid_token"'),
        (("forged", None, "diabetes"), 401, 'Bearer realm="scoregate", error="invalid_token"'),
        (("nobody", None, "diabetes"), 403, 'Bearer realm="scoregate", error="insufficient_scope"'),
        (("elsewhere", None, "diabetes"), 403, 'Bearer realm="scoregate", error="insufficient_scope"'),
        (("away", None, "diabetes"), 503, None),
        (("owner", None, "adult"), 409, None),
        (("owner", None, "unknown"), 404, None),
        (("owner", {"verbs": ["x"]}, "diabetes"), 400, None),
        (("owner", {"lifetime_seconds": 86_401}, "diabetes"), 400, None),
        (("owner", {"subject": "somebody"}, "diabetes"), 400, None),
    ],
)
async def test_what_is_refused(ask, request_, status: int, challenge) -> None:
    """Each with its status, the challenge of RFC 6750 where a credential is at fault, and a problem document."""
    answer = await ask(*request_)
    assert answer.status == status, await answer.text()
    assert answer.headers.get("WWW-Authenticate") == challenge
    assert answer.content_type == "application/problem+json"
    assert (await answer.json())["request_id"] == "r-7"
    assert answer.headers.get("Retry-After") == ("13" if status == 503 else None)


async def test_two_credentials(ask) -> None:
    """The worker passes both on; it cannot be said which was meant."""
    headers = [("Authorization", "Bearer owner"), ("Authorization", "Bearer forged"), ("x-forwarded-for", CLIENT)]
    assert (await ask.client.post("/services/diabetes/token", headers=headers)).status == 401


async def test_guessing_is_slowed_down_by_address(ask) -> None:
    """Of the client, not of the worker; whoever has a good credential gets in, also from there."""
    assert [(await ask("forged")).status for _ in range(5)] == [401, 401, 401, 429, 429]
    assert (await ask("forged", address="198.51.100.1")).status == 401
    assert (await ask("owner")).status == 200


async def test_other_paths(ask) -> None:
    """There is nothing else, and no other method."""
    assert (await ask("owner", method="GET")).status == 405
    assert (await ask.client.get("/")).status == 404


async def test_without_exchange(aiohttp_client, make_rig) -> None:
    """Off: the path does not exist here either."""
    rig = await make_rig()
    client = await aiohttp_client(lane.application(None, rig.audit))
    assert (await client.post("/services/diabetes/token")).status == 404
