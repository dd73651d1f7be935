"""The sans-I/O core: dialogues driven by hand, without sockets or clocks."""

import json
from datetime import UTC, datetime

import pytest

from gateway.client import (
    ClientError,
    DeploymentTimeoutError,
    NotAllowedError,
    RefusedError,
    ScoringError,
    UnreachableError,
    WebserviceNotFound,
    operation,
    scoring,
)
from gateway.client import keys as key_operation
from gateway.client.address import Address
from gateway.client.message import Answer, Pause
from gateway.client.tokens import issue_token

ADDRESS = Address("https://gw.example:8444", "admin-secret")
KEY_SERVICE = {"auth_enabled": True, "token_auth_enabled": False, "scoring_uri": "https://gw.example/score"}
TOKEN_SERVICE = {"auth_enabled": False, "token_auth_enabled": True, "scoring_uri": "https://gw.example/score"}
REFRESH_BY, EXPIRES_AT = 1_800_000_000, 1_800_043_200


def played(dialogue, *answers):
    """The steps of a dialogue that is given these answers, and its result."""
    steps, script = [], list(answers)
    try:
        step = next(dialogue)
        while True:
            steps.append(step)
            if isinstance(step, Pause):
                step = dialogue.send(None)
                continue
            answer = script.pop(0)
            step = dialogue.throw(answer) if isinstance(answer, Exception) else dialogue.send(answer)
    except StopIteration as end:
        assert not script, "an answer was not asked for"
        return steps, end.value


def answer(document, status=200):
    return Answer(status, {"content-type": "application/json"}, json.dumps(document).encode())


def refused(status, detail="no"):
    document = {"detail": detail, "request_id": "r-9"}
    return Answer(status, {"content-type": "application/problem+json"}, json.dumps(document).encode())


def keys(primary):
    return answer({"primary_key": primary, "secondary_key": "second"})


def token(value):
    times = [datetime.fromtimestamp(moment, UTC).isoformat() for moment in (REFRESH_BY, EXPIRES_AT)]
    return answer({"token": value, "token_type": "Bearer", "refresh_by": times[0], "expires_at": times[1]})


def bearers(steps):
    return [step.headers.get("authorization") for step in steps if step.url.endswith("/score")]


class Clock:
    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now


GONE = UnreachableError("https://gw.example", OSError(), "gone")


def test_a_key_is_read_once_and_kept():
    """Two runs ask for the keys once."""
    credentials = scoring.Credentials(ADDRESS, "diabetes")
    first, result = played(scoring.run(credentials, KEY_SERVICE, {"data": 1}), keys("one"), answer([1.5]))
    second, _ = played(scoring.run(credentials, KEY_SERVICE, {"data": 1}), answer([1.5]))
    assert [len(first), len(second), result] == [2, 1, [1.5]]
    assert bearers(first + second) == ["Bearer one", "Bearer one"]


def test_a_refused_key_is_read_again_and_tried_once_more():
    """After a rotation by somebody else the next run passes with the new key."""
    credentials = scoring.Credentials(ADDRESS, "diabetes")
    dialogue = scoring.run(credentials, KEY_SERVICE, b"{}")
    steps, result = played(dialogue, keys("old"), refused(401), keys("new"), answer("scored"))
    assert bearers(steps) == ["Bearer old", "Bearer new"]
    assert result == "scored"


def test_a_second_refusal_ends_it():
    """A service that refuses the new key too is not asked a third time."""
    credentials = scoring.Credentials(ADDRESS, "diabetes")
    dialogue = scoring.run(credentials, KEY_SERVICE, b"{}")
    with pytest.raises(ScoringError) as caught:
        played(dialogue, keys("old"), refused(401), keys("new"), refused(401))
    assert caught.value.status == 401


def test_the_same_key_is_not_tried_again():
    """When the keys did not change, a repeated failure would only count against the caller."""
    credentials = scoring.Credentials(ADDRESS, "diabetes")
    with pytest.raises(ScoringError):
        played(scoring.run(credentials, KEY_SERVICE, b"{}"), keys("old"), refused(401), keys("old"))


def test_control_without_renewal_a_rotation_is_an_error(monkeypatch):
    """The control: with renewal taken out, the script of the rotation test fails."""

    def kept(self, service):
        return (yield from self.current(service))

    monkeypatch.setattr(scoring.Credentials, "renewed", kept)
    dialogue = scoring.run(scoring.Credentials(ADDRESS, "diabetes"), KEY_SERVICE, b"{}")
    with pytest.raises(ScoringError):
        played(dialogue, keys("old"), refused(401))


def test_a_token_is_asked_for_again_from_refresh_by():
    """Up to refresh_by the token is reused; from that second on a new one is issued before the request."""
    clock = Clock(REFRESH_BY - 1)
    credentials = scoring.Credentials(ADDRESS, "diabetes", clock)
    first, _ = played(scoring.run(credentials, TOKEN_SERVICE, b"{}"), token("t1"), answer(1))
    second, _ = played(scoring.run(credentials, TOKEN_SERVICE, b"{}"), answer(1))
    clock.now = REFRESH_BY
    third, _ = played(scoring.run(credentials, TOKEN_SERVICE, b"{}"), token("t2"), answer(1))
    assert bearers(first + second + third) == ["Bearer t1", "Bearer t1", "Bearer t2"]


@pytest.mark.parametrize("away", [GONE, refused(503)])
def test_a_living_token_goes_on_while_the_admin_api_is_away(away):
    """Past refresh_by and with nobody to ask, the old token scores, and for a while nobody is asked again."""
    clock = Clock(REFRESH_BY - 1)
    credentials = scoring.Credentials(ADDRESS, "diabetes", clock)
    played(scoring.run(credentials, TOKEN_SERVICE, b"{}"), token("t1"), answer(1))
    clock.now = REFRESH_BY + 5
    steps, _ = played(scoring.run(credentials, TOKEN_SERVICE, b"{}"), away, answer(1))
    again, _ = played(scoring.run(credentials, TOKEN_SERVICE, b"{}"), answer(1))
    assert bearers(steps + again) == ["Bearer t1", "Bearer t1"]


def test_a_dead_token_is_not_used():
    """Past its expiry there is nothing to go on with: the error of the admin API is told."""
    clock = Clock(REFRESH_BY - 1)
    credentials = scoring.Credentials(ADDRESS, "diabetes", clock)
    played(scoring.run(credentials, TOKEN_SERVICE, b"{}"), token("t1"), answer(1))
    clock.now = EXPIRES_AT
    with pytest.raises(UnreachableError):
        played(
            scoring.run(credentials, TOKEN_SERVICE, b"{}"), UnreachableError("https://gw.example", OSError(), "gone")
        )


def test_a_refusal_to_issue_is_no_absence():
    """A 403 for the refresh is told at once: it will not mend itself."""
    clock = Clock(REFRESH_BY - 1)
    credentials = scoring.Credentials(ADDRESS, "diabetes", clock)
    played(scoring.run(credentials, TOKEN_SERVICE, b"{}"), token("t1"), answer(1))
    clock.now = REFRESH_BY
    with pytest.raises(NotAllowedError):
        played(scoring.run(credentials, TOKEN_SERVICE, b"{}"), refused(403))


def test_key_before_token_and_none_where_none_is_wanted():
    """A service that takes both gets the key; one that takes neither gets no credential, and no key is read."""
    both = KEY_SERVICE | {"token_auth_enabled": True}
    neither = KEY_SERVICE | {"auth_enabled": False}
    steps, _ = played(scoring.run(scoring.Credentials(ADDRESS, "d"), both, b"{}"), keys("one"), answer(1))
    assert bearers(steps) == ["Bearer one"]
    steps, _ = played(scoring.run(scoring.Credentials(ADDRESS, "d"), neither, b"{}"), answer(1))
    assert bearers(steps) == [None]


def test_a_key_that_no_header_can_carry_is_refused_unnamed():
    """A line break in a key would split the header: it is refused, and the text does not repeat the key."""
    with pytest.raises(ClientError) as caught:
        played(scoring.run(scoring.Credentials(ADDRESS, "d"), KEY_SERVICE, b"{}"), keys("se\r\ncret"))
    assert "se" not in str(caught.value).split("credential")[0]
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "body"),
    [(b"\x89PNG", b"\x89PNG"), ("ä", "ä".encode()), ({"data": [1]}, b'{"data": [1]}'), ([1, None], b"[1, null]")],
)
def test_what_run_sends(data, body):
    """Bytes and text go as they are, anything else as JSON."""
    assert scoring.encoded(data) == body


def test_an_answer_that_is_no_json_comes_as_bytes():
    """Images come back as the bytes they are; so does what only claims to be JSON."""
    open_service = KEY_SERVICE | {"auth_enabled": False}
    image = Answer(200, {"content-type": "image/png"}, b"\x89PNG")
    broken = Answer(200, {"content-type": "application/json"}, b"{")
    for reply in (image, broken):
        _, result = played(scoring.run(scoring.Credentials(ADDRESS, "d"), open_service, b"{}"), reply)
        assert result == reply.body


def test_scoring_errors_carry_what_came():
    """Status, headers and body are there, and the text has the model's words and the request id."""
    open_service = KEY_SERVICE | {"auth_enabled": False}
    reply = Answer(502, {"x-request-id": "r-3"}, b"model exploded")
    with pytest.raises(ScoringError, match=r"502 Bad Gateway: model exploded \(request id r-3\)") as caught:
        played(scoring.run(scoring.Credentials(ADDRESS, "d"), open_service, b"{}"), reply)
    assert (caught.value.status, caught.value.body) == (502, b"model exploded")


def test_pages_are_followed():
    """Listing asks for the page after `next` until there is none, with the same filters, always at the same address."""
    pages = [
        answer({"value": [{"name": "a"}], "next": "https://other.example/v1/services?limit=100&after=a"}),
        answer({"value": [{"name": "b"}]}),
    ]
    steps, result = played(operation.every_service(ADDRESS, tags={"team": "risk"}), *pages)
    assert [service["name"] for service in result] == ["a", "b"]
    assert [step.url for step in steps] == [
        "https://gw.example:8444/v1/services?limit=100&tag=team%3Drisk",
        "https://gw.example:8444/v1/services?limit=100&after=a&tag=team%3Drisk",
    ]


def test_a_page_that_names_itself_ends():
    """A gateway that never ends its list does not hold the client for ever."""
    page = answer({"value": [], "next": "/v1/services?after=a"})
    with pytest.raises(ClientError, match="has no end"):
        played(operation.every_service(ADDRESS), page, page)


def test_tags_in_every_form():
    """A mapping, names, and [name, value] pairs; one text is refused since it would be read letter by letter."""
    assert operation.tag_filters({"a": "1"}) == ["a=1"]
    assert operation.tag_filters(["a", ["b", "2"], ("c", "3")]) == ["a", "b=2", "c=3"]
    with pytest.raises(ClientError, match="list of names"):
        operation.tag_filters("team")


def test_waiting_tells_changes_and_ends():
    """The states are told once each, between questions there is a growing pause, and health ends it."""
    lines, clock = [], Clock(0.0)
    dialogue = operation.until_healthy(ADDRESS, "d", timeout_seconds=60, show=lines.append, clock=clock)
    states = [answer({"state": state}) for state in ("Transitioning", "Transitioning", "Healthy")]
    steps, _ = played(dialogue, *states)
    assert lines == ["d: Transitioning", "d: Healthy"]
    assert [step.seconds for step in steps if isinstance(step, Pause)] == [0.25, 0.5]


def test_waiting_has_an_end():
    """After the time given it is an error that holds the last status."""
    clock = Clock(0.0)
    dialogue = operation.until_healthy(ADDRESS, "d", timeout_seconds=0, clock=clock)
    with pytest.raises(DeploymentTimeoutError, match="still Unhealthy after 0 seconds") as caught:
        played(dialogue, answer({"state": "Unhealthy"}))
    assert caught.value.status == {"state": "Unhealthy"}


def test_refusals_are_told_apart():
    """404 of a service, 401 and 403, and the rest have exceptions of their own, with detail and request id."""
    request = operation.get_service(ADDRESS, "gone")
    for status, kind in (
        (404, WebserviceNotFound),
        (401, NotAllowedError),
        (403, NotAllowedError),
        (409, RefusedError),
    ):
        with pytest.raises(kind, match=rf"{status}.*because \(request id r-9\)") as caught:
            played(operation.call(request), refused(status, "because"))
        assert type(caught.value) is kind
        assert (caught.value.status, caught.value.request_id) == (status, "r-9")


def test_a_404_that_is_no_problem_is_another_server():
    """A server that is no gateway is not reported as a missing service."""
    with pytest.raises(RefusedError, match="is this the admin address") as caught:
        played(operation.call(operation.get_service(ADDRESS, "d")), Answer(404, {}, b"<html>"))
    assert not isinstance(caught.value, WebserviceNotFound)


def test_every_error_of_bad_input_is_told():
    """The `errors` of the problem document stand in the text."""
    document = {"detail": "wrong", "errors": [{"path": "tags.a", "reason": "is no text"}]}
    with pytest.raises(RefusedError, match=r"wrong \[tags.a: is no text\]"):
        played(operation.call(operation.put_service(ADDRESS, "d", {})), answer(document, 400))


def test_mutations_carry_an_idempotency_key_each_its_own():
    """Everything but GET has one, and no two share it."""
    block = {"backends": ["http://a:1"]}
    mutations = [
        operation.put_service(ADDRESS, "d", block),
        operation.patch_service(ADDRESS, "d", block),
        operation.delete_service(ADDRESS, "d"),
        key_operation.regenerate_key(ADDRESS, "d", "primary"),
        issue_token(ADDRESS, "d"),
    ]
    assert len({request.headers["idempotency-key"] for request in mutations}) == len(mutations)
    assert "idempotency-key" not in operation.get_service(ADDRESS, "d").headers


def test_names_are_quoted_in_paths():
    """A name with a slash cannot reach another operation."""
    assert key_operation.get_keys(ADDRESS, "../x?y").url == "https://gw.example:8444/v1/services/..%2Fx%3Fy/keys"


def test_slots_are_named_in_any_case():
    """`Primary` as azureml-core writes it and `primary` are the same; anything else is refused."""
    assert [key_operation.slot_named(key) for key in ("Primary", "SECONDARY")] == ["primary", "secondary"]
    with pytest.raises(ClientError, match="neither Primary nor Secondary"):
        key_operation.slot_named("both")


def test_no_secret_is_shown():
    """Neither address, request nor credentials show a secret in their repr."""
    credentials = scoring.Credentials(ADDRESS, "diabetes", Clock(0))
    played(credentials.keys(), keys("primary-secret"))
    played(credentials.token(), token("token-secret"))
    request = key_operation.regenerate_key(ADDRESS, "d", "primary", value="value-secret")
    shown = f"{ADDRESS!r} {request!r} {credentials!r} {credentials._token!r}"
    assert "secret" not in shown
    assert "gw.example" in shown
