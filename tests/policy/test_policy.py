"""The order of checks, and that a service gets those it asks for and no others."""

from __future__ import annotations

import itertools

import pytest

from gateway import policy
from gateway.core.route import Route
from gateway.core.spec import CorsSpec, RateLimitSpec
from gateway.policy import BEFORE_CREDENTIALS, ORDER, compile_checks, compile_rechecks

KEY = "my-own-primary-key"


def names(checks):
    return [check.__name__ for check in checks]


def test_the_order_is_security():
    """What costs nothing and needs no credential comes first; limits last.

    A body that is too large is refused before anything else is looked at; an address that may not call learns nothing
    about credentials; a preflight carries no credential, so CORS answers before one is asked for; only who has shown a
    credential uses up a limit, so that nobody can spend the owner's quota with wrong keys.
    """
    assert [module.__name__.rpartition(".")[2] for module in ORDER] == [
        "body_limit",
        "allowed_ips",
        "cors",
        "authenticate",
        "rate_limit",
    ]


def test_a_service_gets_what_it_asks_for(entry, world):
    """Without sections: the body's limit and the credential, nothing that costs more."""
    assert names(compile_checks(entry(), world)) == ["body_limit", "authenticate"]
    assert names(compile_checks(full(entry), world)) == [
        "body_limit",
        "allowed_ips",
        "cors",
        "authenticate",
        "rate_limit",
    ]


def test_what_another_process_authenticates(entry, world):
    """All that needs no credential, in the same order."""
    assert names(compile_checks(full(entry), world, BEFORE_CREDENTIALS)) == ["body_limit", "allowed_ips", "cors"]


def full(entry):
    """A service with a section for every check."""
    return entry(
        keys=(KEY,),
        max_request_bytes=100,
        allowed_ips=("10.0.0.0/8",),
        cors=CorsSpec(("https://app.example.com",)),
        rate_limits=(RateLimitSpec("one", 1, 60.0),),
    )


FAULTS = {
    "body_too_large": {"length": 101},
    "address_not_allowed": {"peer": "203.0.113.7"},
    "origin_not_allowed": {"method": b"OPTIONS"},
    "wrong_key": {"credential": "wrong"},
}
GOOD = {"length": 100, "peer": "10.0.0.1", "method": b"POST", "credential": KEY}


def reasons(entry, world, exchange):
    """What is told to a request that has every fault, then the first mended, then the second, …, then none, twice."""
    route = Route(full(entry), compile_checks(full(entry), world), None, (), None)
    told = []
    for mended in range(len(FAULTS) + 1):
        how = dict(GOOD)
        for fault in list(FAULTS.values())[mended:]:
            how |= fault
        told.append(decide(route, exchange, **how))
    return [*told, decide(route, exchange, **GOOD)]


def decide(route, exchange, *, credential, **how):
    fields = [(b"Origin", b"https://evil.example"), (b"Access-Control-Request-Method", b"POST")]
    reply = route.decide(exchange((b"Authorization", b"Bearer " + credential.encode()), *fields, **how))
    return reply and reply.reason


def test_each_check_speaks_before_those_after_it(entry, world, exchange):
    """A request with every fault hears of them one by one, in the order, and uses up the limit only at the end."""
    assert reasons(entry, world, exchange) == [*FAULTS, None, "rate_limited"]


@pytest.mark.parametrize("order", [order for order in itertools.permutations(ORDER) if order != ORDER])
def test_control_every_other_order_is_seen(order, entry, world, exchange, monkeypatch):
    """Any two checks exchanged, and the test above fails."""
    monkeypatch.setattr(policy, "ORDER", order)
    assert reasons(entry, world, exchange) != [*FAULTS, None, "rate_limited"]


def test_what_is_asked_again_of_a_known_head(entry, world):
    """The address, before the credential, and the limits, behind it; nothing of a service that has neither."""
    again = compile_rechecks(full(entry), world)
    assert [(check.__name__, is_introduced) for check, is_introduced in again] == [
        ("allowed_ips", False),
        ("rate_limit", True),
    ]
    assert compile_rechecks(entry(), world) == []
