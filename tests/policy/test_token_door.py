"""The door for tokens: what each opens, and that it is judged by the time of each request."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core.exchange import Caller
from gateway.core.snapshot import Revoked
from gateway.policy.token_door import TokenDoor


@pytest.fixture
def knock(entry, world, exchange):
    """`knock(token, operation)`: what the door says, and the request."""
    door = TokenDoor(entry(auth_enabled=False, token_auth_enabled=True), world)

    def make(credential, operation="score"):
        made = exchange(operation=operation)
        return door.open(credential.encode(), made), made

    return make


@pytest.fixture
def door(entry, world):
    """`door(revoked)`: that of a service as old as time, some of whose tokens are revoked."""
    made = entry(auth_enabled=False, token_auth_enabled=True)
    return lambda revoked: TokenDoor(replace(made, born=0.0, revoked=revoked), world)


def test_a_token_names_its_subject(knock, issue, world):
    """The caller of a token is whom it was issued to, known by the token's id."""
    text = issue()
    opened, _ = knock(text)
    assert opened == Caller("token", "alice", world.verify(text.encode())[0].token_id)


def test_a_request_that_comes_again_is_judged_anew(world, entry, exchange, issue):
    """A remembered token still expires: its claims are kept, the time is not."""
    door = TokenDoor(entry(auth_enabled=False, token_auth_enabled=True), world)
    credential, made = issue(lifetime=60).encode(), exchange()
    assert isinstance(door.open(credential, made), Caller)
    made.wall += 60
    assert door.open(credential, made).reason == "token_not_now"


@pytest.mark.parametrize(
    ("operation", "verbs", "opens"),
    [
        ("score", ("score",), True),
        ("score", ("swagger",), False),
        ("swagger", ("swagger",), True),
        ("swagger", ("score",), False),
        ("extra", ("score",), True),
        ("extra", ("swagger", "batch"), False),
        ("batch", ("batch",), True),
        ("batch", ("score",), False),
        ("score", (), False),
    ],
)
def test_a_token_opens_what_it_was_issued_for(operation, verbs, opens, knock, issue):
    """Reading the document, scoring and batch jobs are three verbs; extra paths take that of scoring."""
    opened, _ = knock(issue(verbs=verbs), operation)
    assert isinstance(opened, Caller) is opens
    assert opens or opened.status == 403


def test_a_token_issued_in_the_second_of_birth_opens(knock, issue, born):
    """Tokens count in whole seconds: one made right after its service is no token of an earlier one."""
    assert isinstance(knock(issue(now=born, lifetime=5000))[0], Caller)


@pytest.mark.parametrize(
    ("revoked", "opens"),
    [
        (Revoked(), True),
        (Revoked(before=100), True),
        (Revoked(before=101), False),
        (Revoked(subjects={"alice": 101}), False),
        (Revoked(subjects={"alice": 100}), True),
        (Revoked(subjects={"bob": 101}), True),
        (Revoked(token_ids=frozenset({"another"})), True),
    ],
)
def test_a_revoked_token_opens_nothing(revoked, opens, door, exchange, issue):
    """All tokens, or those of a subject, that were issued before a second; others, and later ones, open on."""
    opened = door(revoked).open(issue(now=100, lifetime=4e9).encode(), exchange())
    assert isinstance(opened, Caller) is opens
    assert opens or (opened.status, opened.reason) == (401, "token_revoked")


def test_a_token_is_revoked_by_its_id(door, exchange, issue):
    """Although it is remembered as verified; another of the same subject opens."""
    credential = issue().encode()
    opened = door(Revoked()).open(credential, exchange())
    after = door(Revoked(token_ids=frozenset({opened.key_id})))
    assert after.open(credential, exchange()).reason == "token_revoked"
    assert isinstance(after.open(issue().encode(), exchange()), Caller)


def test_an_expired_token_is_not_kept(world, entry, exchange, issue):
    """What nobody can use any more takes no place."""
    door = TokenDoor(entry(auth_enabled=False, token_auth_enabled=True), world)
    credential, made = issue(lifetime=60).encode(), exchange()
    door.open(credential, made)
    assert credential in world.verified
    made.wall += 60
    door.open(credential, made)
    assert not world.verified


def test_a_request_that_comes_again_costs_no_new_caller(knock, issue):
    """Who is let in is made once a token: the path of a request makes nothing."""
    text = issue()
    assert knock(text)[0] is knock(text)[0]
