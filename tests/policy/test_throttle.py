"""Wrong credentials: how many are answered with what is wrong, and what holds beyond."""

from __future__ import annotations

import json

import pytest

from gateway.core.problem import Reply
from gateway.policy import World
from gateway.policy.authenticate import compile_check
from gateway.policy.throttle import compile_throttle

KEYS = ("first-key", "second-key")
LIMIT = 5


@pytest.fixture
def world(trust, cells):
    return World(trust, cells, LIMIT)


@pytest.fixture
def attempt(entry, exchange, world):
    """`attempt(credential, peer, service, now)`: the reply, None when it opens."""

    def make(credential=b"wrong", *, peer="203.0.113.7", service="diabetes", now=100.0, world=world):
        check = compile_check(entry(service, keys=KEYS, token_auth_enabled=True), world)
        fields = [] if credential is None else [(b"Authorization", b"Bearer " + credential)]
        return check(exchange(*fields, peer=peer, now=now))

    return make


def statuses(attempt, times, *arguments, **how):
    return [getattr(attempt(*arguments, **how), "status", None) for _ in range(times)]


def test_so_many_are_told_what_is_wrong_then_to_wait(attempt):
    """The limit is a burst; then one more each minute / limit. The 429 says what was wrong, too."""
    assert statuses(attempt, 7) == [401] * 5 + [429] * 2
    reply = attempt()
    assert (reply.reason, reply.stage, reply.headers) == (
        "too_many_failures",
        "authenticate",
        ((b"retry-after", b"12"),),
    )
    assert "opens nothing at diabetes" in json.loads(reply.document("r"))["detail"]
    assert statuses(attempt, 3, now=112.0) == [401, 429, 429]


def test_a_good_key_opens_at_any_time(attempt):
    """Neither others' failures nor one's own lock it out, from this address or another one."""
    statuses(attempt, 100)
    for peer in ("203.0.113.7", "198.51.100.1"):
        for value in KEYS:
            assert attempt(value.encode(), peer=peer) is None


def test_a_good_key_costs_no_cell(attempt, cells):
    """What opens is not counted."""
    attempt(b"first-key")
    assert cells.tats == {}


def test_addresses_and_services_are_counted_apart(attempt):
    """Failures of one address at one service say nothing about another of either."""
    statuses(attempt, 6)
    assert attempt(peer="203.0.113.8").status == 401
    assert attempt(service="adult").status == 401
    assert attempt().status == 429


def test_a_whole_ipv6_network_is_one_address(attempt):
    """Whoever has a /64 does not begin anew with each of its addresses."""
    assert [attempt(peer=f"2001:db8::{number:x}").status for number in range(6)] == [401] * 5 + [429]


def test_no_credential_is_no_attempt(attempt, cells):
    """Who sends none guesses nothing, and is told what to send at any time."""
    assert statuses(attempt, 20, None) == [401] * 20
    assert cells.tats == {}


def test_the_wrong_verb_is_no_attempt(world, cells, exchange):
    """A credential that is right but may not do this is no guess."""
    refusal = Reply(403, "insufficient_scope")
    assert compile_throttle("diabetes", world)(exchange(), refusal) is refusal
    assert cells.tats == {}


def test_control_without_a_limit_nothing_is_slowed_down(attempt, trust, cells):
    """0 means any number: the first test would fail."""
    assert statuses(attempt, 50, world=World(trust, cells)) == [401] * 50
    assert cells.tats == {}
