"""Rate limits of a service: what they count by, that one refusal uses up no other limit, and what is told."""

from __future__ import annotations

import json

import pytest

from gateway.core.exchange import Caller
from gateway.core.spec import RateLimitSpec
from gateway.policy.rate_limit import compile_check

TWO = RateLimitSpec("two", 2, 10.0)


@pytest.fixture
def limited(entry, world):
    """`limited(*limits, name)`: the check of a service with these limits."""
    return lambda *limits, name="diabetes": compile_check(entry(name, rate_limits=limits), world)


@pytest.fixture
def call(exchange):
    """`call(check, now, key_id, subject, peer, auth_type)`: the reply to one more request."""

    def make(check, *, now=100.0, key_id="k_1", subject="diabetes/primary", peer="203.0.113.7", auth_type="key"):
        made = exchange(peer=peer, now=now)
        made.caller = Caller(auth_type, subject, key_id, "primary")
        return check(made)

    return make


def passes(check, call, times, **how):
    """How many of so many requests pass."""
    return sum(call(check, **how) is None for _ in range(times))


def test_without_limits_there_is_no_check(entry, world):
    """Nothing is counted."""
    assert compile_check(entry(), world) is None


def test_a_limit_admits_its_burst_and_then_its_rate(limited, call):
    """Two at once, then one each five seconds."""
    check = limited(TWO)
    assert passes(check, call, 5) == 2
    assert passes(check, call, 5, now=104.9) == 0
    assert passes(check, call, 5, now=105.0) == 1
    assert passes(check, call, 5, now=200.0) == 2


def test_a_burst_of_its_own(limited, call):
    """`burst` may be more than `requests`; the rate stays."""
    check = limited(RateLimitSpec("b", 1, 10.0, burst=5))
    assert passes(check, call, 9) == 5
    assert passes(check, call, 9, now=110.0) == 1


def test_the_refusal_says_which_limit_and_when(limited, call):
    """429 with Retry-After, the RateLimit fields, and a problem document that names the violated policy."""
    check = limited(TWO)
    passes(check, call, 2)
    reply = call(check, now=101.5)
    assert (reply.status, reply.reason, reply.stage, reply.closes) == (429, "rate_limited", "rate_limit", False)
    assert reply.headers == (
        (b"retry-after", b"4"),
        (b"ratelimit-policy", b'"two";q=2;w=10'),
        (b"ratelimit", b'"two";r=0;t=4'),
    )
    document = json.loads(reply.document("r-1"))
    assert document["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert document["violated-policies"] == ["two"]
    assert document["detail"] == "diabetes takes 2 requests in 10 s (limit 'two'): try again in 4 s."


def test_who_waits_as_told_passes(limited, call):
    """Retry-After is enough, and at least a second: a client is never told to come back at once."""
    check = limited(RateLimitSpec("fast", 100, 1.0))
    passes(check, call, 100)
    reply = call(check)
    assert dict(reply.headers)[b"retry-after"] == b"1"
    assert call(check, now=101.0) is None


def test_several_limits_must_all_be_kept(limited, call):
    """The tighter one refuses, by its own name."""
    check = limited(RateLimitSpec("wide", 100), RateLimitSpec("tight", 1, 60.0))
    assert call(check) is None
    assert json.loads(call(check).document(""))["violated-policies"] == ["tight"]


def test_a_refusal_uses_up_no_other_limit(limited, call, cells):
    """What the first limit counted is given back when the second refuses: patience is not punished."""
    check = limited(RateLimitSpec("first", 3, 1000.0), RateLimitSpec("second", 1, 10.0))
    assert passes(check, call, 50) == 1
    assert passes(check, call, 50, now=110.0) == 1
    assert passes(check, call, 50, now=120.0) == 1
    assert json.loads(call(check, now=130.0).document(""))["violated-policies"] == ["first"]


def test_control_without_the_refund_the_first_limit_is_used_up(limited, call, cells, monkeypatch):
    """Cells that do not take back: the test above would fail at its second line."""
    monkeypatch.setattr(cells, "refund", lambda *_: None)
    check = limited(RateLimitSpec("first", 3, 1000.0), RateLimitSpec("second", 1, 10.0))
    assert passes(check, call, 50) == 1
    assert passes(check, call, 50, now=110.0) == 0


def test_a_limit_that_was_not_reached_is_not_refunded(limited, call, cells):
    """Limits after the one that refuses were never counted, so nothing of them is given back."""
    check = limited(RateLimitSpec("first", 1, 1000.0), RateLimitSpec("second", 2, 1000.0))
    passes(check, call, 50)
    assert len(cells.tats) == 2
    assert all(tat > 100.0 for tat in cells.tats.values())


PARTITIONS = [
    ("service", {}, {"subject": "diabetes/secondary"}, False),
    ("service", {}, {"peer": "203.0.113.8"}, False),
    ("credential", {}, {"subject": "diabetes/secondary"}, True),
    ("credential", {}, {"key_id": "k_2"}, False),
    ("credential", {}, {"peer": "203.0.113.8"}, False),
    ("credential", {"auth_type": "token"}, {"auth_type": "token", "subject": "bob"}, True),
    ("credential", {"auth_type": "token", "key_id": "t-1"}, {"auth_type": "token", "key_id": "t-2"}, False),
    ("credential", {"auth_type": "token"}, {}, True),
    ("ip", {}, {"peer": "203.0.113.8"}, True),
    ("ip", {}, {"subject": "diabetes/secondary"}, False),
]


@pytest.mark.parametrize("case", PARTITIONS)
def test_what_a_limit_counts_by(limited, call, case):
    """By service everyone shares; by credential each slot, named caller and subject has its own; by ip each address.

    A new value of a key, and a new token of a subject, count on: nobody gains a limit by fetching another.
    """
    partition, first, second, apart = case
    check = limited(RateLimitSpec("p", 2, 60.0, partition=partition))
    assert passes(check, call, 3, **first) == 2
    assert passes(check, call, 3, **second) == (2 if apart else 0)


def test_services_and_limits_do_not_share(limited, call, cells):
    """The same limit of another service, and another limit of the same service, count for themselves."""
    for check in (limited(TWO), limited(TWO, name="adult"), limited(RateLimitSpec("other", 2, 10.0))):
        assert passes(check, call, 3) == 2
    assert len(cells.tats) == 3
    assert 0 not in cells.tats


def test_a_limit_goes_on_counting_when_its_service_is_compiled_anew(limited, call):
    """A change of something else resets no limit; a limit with other numbers is another one."""
    assert passes(limited(TWO), call, 3) == 2
    assert passes(limited(TWO), call, 3) == 0
    assert passes(limited(RateLimitSpec("two", 3, 10.0)), call, 4) == 3
    assert passes(limited(RateLimitSpec("two", 2, 11.0)), call, 3) == 2
