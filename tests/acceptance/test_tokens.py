"""Tokens as callers and admins meet them: every algorithm, verbs, rotation, revocation, and the exchange."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import jwt
import pytest
from identity_provider import IdentityProvider
from model_servers import Backend
from running_gateway import JSON, RunningGateway
from wire import Answer, bearer

SCORED = {"token_auth_enabled": True, "auth_enabled": False}
LIMIT = {"name": "each", "requests": 3, "per_seconds": 3600, "partition": "credential"}


@pytest.fixture(scope="module")
def provider() -> Iterator[IdentityProvider]:
    made = IdentityProvider()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def extra(start_backend) -> Backend:
    """A model that takes extra paths."""
    return start_backend()


@pytest.fixture(scope="module")
def gateway(start_gateway, start_backend, provider, extra) -> RunningGateway:
    """Two workers, services that open with tokens, and the exchange for those with the role caller."""
    block = {"backends": [start_backend().url]}
    return start_gateway(
        {
            "scored": block | SCORED,
            "limited": block | SCORED | {"rate_limits": [LIMIT]},
            "extra": SCORED | {"backends": [extra.url], "extra_paths": True},
            "keyed": block,
        },
        tokens={"exchange": True},
        admin={"oidc": provider.settings(caller=["team on scored", "{service}:calls"], reader=["readers"])},
    )


def issued(gateway: RunningGateway, document: Any = None) -> str:
    """A token by the admin API, noted as a secret."""
    answer = gateway.admin("POST", "/services/scored/token", document)
    assert answer.status == 200, answer.text
    gateway.evidence.secrets.add(answer.json["token"])
    return str(answer.json["token"])


def score(gateway: RunningGateway, token: str) -> int:
    """The status on several connections, so that every worker is asked: all must say the same."""
    (status,) = {gateway.score("scored", token).status for _ in range(8)}
    return status


@contextmanager
def hammered(gateway: RunningGateway, token: str) -> Iterator[Callable[[], set[int]]]:
    """Kept connections, to every worker, on which the same request was answered 200 again and again.

    Gives what asks once more on each of them: the statuses.
    """
    with ExitStack() as stack:
        wires = [stack.enter_context(gateway.wire()) for _ in range(6)]

        def again() -> set[int]:
            fields = JSON | bearer(token)
            return {wire.ask("POST", gateway.path("scored"), b"{}", fields).status for wire in wires}

        assert [again() for _ in range(4)] == [{200}] * 4
        yield again


def exchange(gateway: RunningGateway, credential: str | None, document: Any = None, service: str = "scored") -> Answer:
    headers = JSON | (bearer(credential) if credential else {})
    body = b"" if document is None else json.dumps(document).encode()
    answer = gateway.ask("POST", gateway.path(service, "token"), body, headers)
    if answer.status == 200:
        gateway.evidence.secrets.add(answer.json["token"])
    return answer


def kid(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


def published(gateway: RunningGateway) -> set[str]:
    """The names in the key set, on several connections."""
    found = [gateway.ask("GET", "/.well-known/jwks.json").json["keys"] for _ in range(6)]
    assert all(keys == found[0] for keys in found)
    return {key["kid"] for key in found[0]}


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256"])
def test_every_algorithm_all_through(start_gateway, start_backend, algorithm: str) -> None:
    """Issued, published, verified by a stranger with the key set alone, and opens."""
    services = {"scored": SCORED | {"backends": [start_backend().url]}}
    gateway = start_gateway(services, tokens={"algorithm": algorithm}, scoring={"workers": 1})
    token = issued(gateway)
    keys = jwt.PyJWKSet.from_dict(gateway.ask("GET", "/.well-known/jwks.json").json)
    claims = jwt.decode(token, keys[kid(token)], algorithms=[algorithm], audience="scored", leeway=5)
    assert (claims["sub"], claims["scope"]) == ("admin", "batch score swagger")
    assert gateway.score("scored", token).status == 200


def test_verbs(gateway: RunningGateway) -> None:
    """A token opens what it is for, and is told 403 `insufficient_scope` for the rest."""
    path = gateway.path("scored", "swagger.json")
    scores, reads = issued(gateway, {"verbs": ["score"]}), issued(gateway, {"verbs": ["swagger"]})
    assert score(gateway, scores) == 200
    assert gateway.ask("GET", path, headers=bearer(reads)).status == 200
    for answer in (gateway.score("scored", reads), gateway.ask("GET", path, headers=bearer(scores))):
        assert answer.status == 403
        assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


def test_keys_rotate_on_demand(gateway: RunningGateway) -> None:
    """The next key was published before it signs, on every worker; old tokens open on, new ones at once."""
    for _ in range(3):
        old = issued(gateway)
        states = {one["state"]: one["kid"] for one in gateway.admin("GET", "/signing-keys").json["value"]}
        assert states["active"] == kid(old)
        assert {states["active"], states["next"]} <= published(gateway)
        answer = gateway.admin("POST", "/signing-keys/rotate")
        assert answer.status == 200
        new = issued(gateway)
        assert kid(new) == states["next"]
        assert (score(gateway, old), score(gateway, new)) == (200, 200)
        assert published(gateway) == {one["kid"] for one in answer.json["value"]}


def test_a_stolen_signing_key_is_ended(gateway: RunningGateway) -> None:
    """With `revoke` every token of before is dead when it is answered, on kept connections, too; a new one opens."""
    old = issued(gateway)
    with hammered(gateway, old) as again:
        assert gateway.admin("POST", "/signing-keys/rotate", {"revoke": True}).status == 200
        assert again() == {401}
    assert score(gateway, old) == 401
    assert kid(old) not in published(gateway)
    assert score(gateway, issued(gateway)) == 200


@pytest.mark.parametrize("by", ["jti", "subject", "service"])
def test_revocation(gateway: RunningGateway, by: str) -> None:
    """On the 200 no worker opens to it, in the same second a new token opens; it survives the control process."""
    token, other = issued(gateway), issued(gateway)
    claims = jwt.decode(token, options={"verify_signature": False})
    asked = {"jti": {"jti": claims["jti"]}, "subject": {"subject": "admin"}, "service": None}[by]
    with hammered(gateway, token) as again, hammered(gateway, other) as another:
        answer = gateway.admin("POST", "/services/scored/tokens/revoke", asked)
        assert answer.status == 200
        assert (again(), another()) == ({401}, {200 if by == "jti" else 401})
    assert answer.json.keys() == ({"jti"} if by == "jti" else {"revoked_before"})
    refused = gateway.score("scored", token)
    assert (refused.status, refused.json["reason"]) == (401, "token_revoked")
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]
    assert score(gateway, token) == 401
    assert score(gateway, other) == (200 if by == "jti" else 401)
    assert score(gateway, issued(gateway)) == 200


def test_a_restart_changes_no_token(start_gateway, start_backend) -> None:
    """Revoked ones stay revoked and others open: after a restart of everything, and kill -9 of the control process.

    And where `tokens.exchange` is off there is no such path: it is the model's, if that takes extra paths.
    """
    backend = start_backend()
    plain = {"backends": [backend.url], "auth_enabled": False}
    services = {"scored": plain | SCORED, "plain": plain, "extra": plain | {"extra_paths": True}}
    gateway = start_gateway(services, scoring={"workers": 1})
    assert gateway.ask("POST", gateway.path("plain", "token"), b"{}").status == 404
    assert gateway.ask("POST", gateway.path("extra", "token"), b"{}").status == 200
    assert backend.seen[-1].path.endswith("/token")
    token, other = issued(gateway), issued(gateway)
    jti = jwt.decode(token, options={"verify_signature": False})["jti"]
    gateway.admin("POST", "/services/scored/tokens/revoke", {"jti": jti})
    gateway.stop()
    gateway.start()
    assert [gateway.score("scored", one).status for one in (token, other)] == [401, 200]
    os.kill(gateway.control(), signal.SIGKILL)
    assert [gateway.score("scored", one).status for one in (token, other)] == [401, 200]


def test_the_exchange(gateway: RunningGateway, provider: IdentityProvider) -> None:
    """Who has the role caller gets a token of its own on the scoring port, and nothing more by that role."""
    credential = provider.token("ann", "team")
    answer = exchange(gateway, credential, {"verbs": ["score"], "lifetime_seconds": 100})
    assert answer.status == 200, answer.text
    assert answer.json.keys() == {"token", "token_type", "refresh_by", "expires_at"}
    assert answer.headers["cache-control"] == "no-store"
    claims = jwt.decode(answer.json["token"], options={"verify_signature": False})
    assert (claims["sub"], claims["scope"], claims["exp"] - claims["iat"]) == ("oidc:ann", "score", 100)
    assert score(gateway, answer.json["token"]) == 200
    assert gateway.score("scored", credential).status == 401
    assert gateway.admin("GET", "/services/scored", credential=credential).status == 403
    assert gateway.admin("POST", "/services/scored/token", credential=credential).status == 200
    told = gateway.admin("GET", "/audit?newest=5").json["value"]
    assert ("oidc:ann", "exchange_token", "scored", claims["jti"], "127.0.0.1") in {
        (one["actor"], one["action"], one["service"], one["target"], one["from"]) for one in told
    }


def test_a_higher_role_exchanges_too(gateway: RunningGateway, provider: IdentityProvider) -> None:
    """Each role may do what those before it may."""
    assert exchange(gateway, provider.token("ben", "readers")).status == 200
    assert exchange(gateway, provider.token("ben", "scored:calls")).status == 200


def test_what_the_exchange_refuses(gateway: RunningGateway, provider: IdentityProvider) -> None:
    """In the words of RFC 6750, as a problem document; no credential comes back."""
    good = provider.token("ann", "team")
    cases: list[tuple[str | None, str, int, str | None]] = [
        (None, "scored", 401, None),
        (issued(gateway), "scored", 401, "invalid_token"),
        (gateway.admin_token, "scored", 401, "invalid_token"),
        (good[:-4], "scored", 401, "invalid_token"),
        (provider.token("ann", "team", exp=1), "scored", 401, "invalid_token"),
        (provider.token("ann", "team", aud="other"), "scored", 401, "invalid_token"),
        (provider.token("ann", "others"), "scored", 403, "insufficient_scope"),
        (good, "keyed", 403, "insufficient_scope"),
        (provider.token("ann", "keyed:calls"), "keyed", 409, None),
    ]
    for credential, service, status, error in cases:
        answer = exchange(gateway, credential, service=service)
        assert answer.status == status, answer.text
        assert answer.headers["content-type"].startswith("application/problem+json")
        challenge = answer.headers.get("www-authenticate", "")
        assert (f'error="{error}"' in challenge) if error else ("error=" not in challenge)
        assert credential is None or credential not in answer.text + challenge
    assert exchange(gateway, good, {"verbs": ["admin"]}).status == 400
    assert exchange(gateway, good, {"lifetime_seconds": 10**9}).status == 400
    assert exchange(gateway, good, service="nobody").status == 404
    assert gateway.ask("GET", gateway.path("scored", "token"), headers=bearer(good)).status == 405


def test_without_the_control_process(gateway: RunningGateway, provider: IdentityProvider) -> None:
    """503 for the exchange alone, at once and with when to come again; scoring goes on. Then both work."""
    token, credential = issued(gateway), provider.token("ann", "team")
    control, supervisor = gateway.control(), gateway.ready["pid"]
    os.kill(supervisor, signal.SIGSTOP)
    try:
        os.kill(control, signal.SIGKILL)
        gateway.until(lambda: all(gateway.ask("GET", "/readyz").json["status"] == "degraded" for _ in range(6)))
        began = time.monotonic()
        answer = exchange(gateway, credential)
        assert (answer.status, answer.json["reason"]) == (503, "control_away")
        assert int(answer.headers["retry-after"]) > 0
        assert time.monotonic() - began < 5
        assert score(gateway, token) == 200
    finally:
        os.kill(supervisor, signal.SIGCONT)
    gateway.until(lambda: exchange(gateway, credential).status == 200)
    assert score(gateway, token) == 200


def test_with_exchange_the_path_is_the_gateway_s(gateway: RunningGateway, provider, extra) -> None:
    """Also where the model takes extra paths: a model must not be given identity tokens."""
    assert exchange(gateway, provider.token("ann", "extra:calls"), service="extra").status == 200
    assert not [seen for seen in extra.seen if seen.path.endswith("/token")]


def test_a_limit_is_not_multiplied_by_tokens(gateway: RunningGateway, provider: IdentityProvider) -> None:
    """By credential means by subject: another token is no other limit, another subject is."""

    def statuses(subject: str) -> list[int]:
        credential = provider.token(subject, "limited:calls")
        tokens = [exchange(gateway, credential, service="limited").json["token"] for _ in range(5)]
        return [gateway.score("limited", token).status for token in tokens]

    assert statuses("ann") == [200, 200, 200, 429, 429]
    assert statuses("ben") == [200, 200, 200, 429, 429]
