"""Tokens in the SDK: held and renewed with a credential that can do nothing else, by both shells."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from fake_gateway import ADMIN_TOKEN, PROVIDED, TIME, TWO_ROWS

from gateway.client import (
    ClientError,
    NotAllowedError,
    RefusedError,
    ScoringClient,
    ScoringError,
    UnknownGatewayError,
    UnreachableError,
    Webservice,
    Workspace,
    scoring,
    tokens,
)
from gateway.client.address import Address
from gateway.client.aio import AsyncScoringClient, AsyncWebservice, AsyncWorkspace
from gateway.client.message import Answer

URI = "https://gw.example/api/v1/service/diabetes/score"
SERVICE = {"scoring_uri": URI}
REFRESH_BY, EXPIRES_AT = 1_800_000_000, 1_800_043_200
GONE = UnreachableError("https://gw.example", OSError(), "gone")


class Clock:
    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now


def answer(document, status=200):
    return Answer(status, {"content-type": "application/json"}, json.dumps(document).encode())


def token(value):
    times = [datetime.fromtimestamp(moment, UTC).isoformat() for moment in (REFRESH_BY, EXPIRES_AT)]
    return answer({"token": value, "token_type": "Bearer", "refresh_by": times[0], "expires_at": times[1]})


def played(dialogue, *answers):
    """(path's last part, credential) of each request of a dialogue that is given these answers."""
    steps, script = [], list(answers)
    try:
        step = next(dialogue)
        while True:
            steps.append((step.url.rpartition("/")[2], step.headers["authorization"].removeprefix("Bearer ")))
            given = script.pop(0)
            step = dialogue.throw(given) if isinstance(given, Exception) else dialogue.send(given)
    except StopIteration:
        assert not script, "an answer was not asked for"
    return steps


def run(exchanged):
    return scoring.run(exchanged, SERVICE, b"{}")


def test_a_credential_is_exchanged_once():
    """It goes to the exchange and nowhere else; the token goes to scoring, again and again."""
    exchanged = tokens.Exchanged(URI, "of-a-provider", Clock(REFRESH_BY - 1))
    assert played(run(exchanged), token("t1"), answer(1)) == [("token", "of-a-provider"), ("score", "t1")]
    assert played(run(exchanged), answer(1)) == [("score", "t1")]


def test_a_token_is_renewed_from_its_refresh_by_on():
    """Before it expires; with what the credential is then, for it has a life of its own."""
    clock, given = Clock(REFRESH_BY - 1), iter(["first", "second"])
    exchanged = tokens.Exchanged(URI, lambda: next(given), clock)
    assert played(run(exchanged), token("t1"), answer(1)) == [("token", "first"), ("score", "t1")]
    clock.now = REFRESH_BY
    assert played(run(exchanged), token("t2"), answer(1)) == [("token", "second"), ("score", "t2")]


@pytest.mark.parametrize("away", [GONE, answer({}, 503), answer({}, 429)], ids=["gone", "503", "429"])
def test_a_token_outlives_its_refresh_by(away):
    """While nobody is there to give the next one it is used on, to its end; and it is not asked for each time."""
    clock = Clock(REFRESH_BY - 1)
    exchanged = tokens.Exchanged(URI, "c", clock)
    played(run(exchanged), token("t1"), answer(1))
    clock.now = REFRESH_BY
    assert played(run(exchanged), away, answer(1)) == [("token", "c"), ("score", "t1")]
    clock.now += tokens.RETRY_REFRESH_SECONDS - 1
    assert played(run(exchanged), answer(1)) == [("score", "t1")]
    clock.now += 1
    assert played(run(exchanged), token("t2"), answer(1))[1] == ("score", "t2")


def test_a_dead_token_is_not_used():
    """From `exp` on there must be another: without one the call fails, and says why."""
    clock = Clock(REFRESH_BY - 1)
    exchanged = tokens.Exchanged(URI, "c", clock)
    played(run(exchanged), token("t1"), answer(1))
    clock.now = EXPIRES_AT
    with pytest.raises(UnreachableError):
        played(run(exchanged), GONE)
    with pytest.raises(RefusedError):
        played(run(exchanged), answer({}, 503))


def test_a_refused_token_is_renewed_once():
    """Revoked, for example: another is asked for, and tried once."""
    exchanged = tokens.Exchanged(URI, "c", Clock(REFRESH_BY - 1))
    steps = played(run(exchanged), token("t1"), answer({}, 401), token("t2"), answer(1))
    assert steps == [("token", "c"), ("score", "t1"), ("token", "c"), ("score", "t2")]
    with pytest.raises(ScoringError) as caught:
        played(run(exchanged), answer({}, 401), token("t3"), answer({}, 401))
    assert caught.value.status == 401


def test_a_credential_without_the_role_is_told_at_once():
    """A 403 will not mend itself."""
    with pytest.raises(NotAllowedError):
        played(run(tokens.Exchanged(URI, "c")), answer({}, 403))


@pytest.mark.parametrize("credential", ["", "a\nb"])
def test_a_credential_that_is_none(credential):
    """It is refused before anything is sent, unnamed."""
    with pytest.raises(ClientError) as caught:
        played(run(tokens.Exchanged(URI, lambda: credential)))
    assert "a\nb" not in str(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "gw.example/score",
        "ftp://gw/score",
        "https://gw/api/v1/service/d",
        "https://gw/score?key=x",
        "https://u:p@gw/score",
    ],
)
def test_a_scoring_uri_that_is_none(uri):
    """It is said when the client is made, without repeating it: somebody may have put a password into it."""
    with pytest.raises(UnknownGatewayError) as caught:
        ScoringClient(uri, "c")
    assert not uri or uri not in str(caught.value)


def test_nothing_is_shown():
    """Neither credential nor token is in a repr."""
    exchanged = tokens.Exchanged(URI, "secret-credential", Clock(0))
    played(run(exchanged), token("secret-token"), answer(1))
    shown = (
        repr(exchanged) + repr(exchanged._token) + repr(exchanged._token._held) + repr(ScoringClient(URI, "secret-c"))
    )
    assert "secret" not in shown
    assert URI in shown


def test_the_operations_as_requests():
    """Paths and bodies of the admin API; what is not asked for is left out."""
    address = Address("https://gw.example:8444", "admin-secret")
    made = [
        tokens.issue_token(address, "d", verbs=["score"], lifetime_seconds=60),
        tokens.revoke_tokens(address, "d", jti="t_1"),
        tokens.revoke_tokens(address, "d", subject="alice"),
        tokens.revoke_tokens(address, "d"),
        tokens.list_signing_keys(address),
        tokens.rotate_signing_keys(address),
        tokens.rotate_signing_keys(address, revoke=True),
    ]
    assert [(one.method, one.url.removeprefix("https://gw.example:8444/v1"), one.body) for one in made] == [
        ("POST", "/services/d/token", b'{"verbs": ["score"], "lifetime_seconds": 60}'),
        ("POST", "/services/d/tokens/revoke", b'{"jti": "t_1"}'),
        ("POST", "/services/d/tokens/revoke", b'{"subject": "alice"}'),
        ("POST", "/services/d/tokens/revoke", b"{}"),
        ("GET", "/signing-keys", b""),
        ("POST", "/signing-keys/rotate", b"{}"),
        ("POST", "/signing-keys/rotate", b'{"revoke": true}'),
    ]


@pytest.fixture
def uri(fake):
    """Of a service that opens with tokens only."""
    return fake.add("tokened", auth_enabled=False, token_auth_enabled=True)["scoring_uri"]


def test_a_scoring_client(fake, uri):
    """Over TLS: it scores, holds its token, renews a revoked one by itself, and asks nothing of the admin API."""
    with ScoringClient(uri, PROVIDED, fake.ca_file) as client:
        assert [client.run({"data": []}) for _ in range(3)] == [TWO_ROWS] * 3
        fake.tokens.clear()
        assert client.run({"data": []}) == TWO_ROWS
        value, refresh_by = client.get_token()
    assert value in fake.tokens
    assert refresh_by > datetime.now(UTC)
    assert len(fake.requests("POST", "/token")) == 3
    assert not [seen for seen in fake.seen if seen.path.startswith("/v1/")]
    assert {seen.headers["authorization"] for seen in fake.requests("POST", "/score")}.isdisjoint(
        {f"Bearer {PROVIDED}"}
    )


async def test_a_scoring_client_with_asyncio(fake, uri):
    """The same, awaited."""
    async with AsyncScoringClient(uri, lambda: PROVIDED, fake.ca_file) as client:
        assert [await client.run({"data": []}) for _ in range(3)] == [TWO_ROWS] * 3
        fake.tokens.clear()
        assert await client.run({"data": []}) == TWO_ROWS
        assert (await client.get_token())[0] in fake.tokens
        assert uri in repr(client)
    assert not [seen for seen in fake.seen if seen.path.startswith("/v1/")]


async def test_both_shells_revoke(fake):
    """By the admin API; the answer is given as it came."""
    workspace = Workspace(fake.admin_url, ADMIN_TOKEN, fake.ca_file)
    service = Webservice(workspace, "diabetes")
    assert service.revoke_tokens(jti="t_1") == {"jti": "t_1"}
    assert service.revoke_tokens(subject="alice") == {"revoked_before": TIME}
    workspace.close()
    async with AsyncWorkspace(fake.admin_url, ADMIN_TOKEN, fake.ca_file) as awaited:
        assert await (await AsyncWebservice.get(awaited, "diabetes")).revoke_tokens() == {"revoked_before": TIME}
    asked = [seen.document for seen in fake.requests("POST", "/tokens/revoke")]
    assert asked == [{"jti": "t_1"}, {"subject": "alice"}, {}]
