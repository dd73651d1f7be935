"""Named callers of a service: what their keys open, until when, under which limits; changed one by one."""

from __future__ import annotations

import pytest

from gateway.core import key
from gateway.core.caller import CallerLimitSpec
from gateway.core.exchange import Caller
from gateway.core.snapshot import CallerEntry, FormerKeyEntry, RosterChange
from gateway.core.spec import RateLimitSpec
from gateway.policy import compile_checks
from gateway.policy.rate_limit import compile_check as compile_limits

VERBS = ("score", "batch", "swagger")


@pytest.fixture
def caller(trust):
    """`caller(name, value, **fields)`: as workers are told of one."""

    def make(name="acme", value="acme-key", **fields):
        fields = {"verbs": VERBS, **fields}
        return CallerEntry(name=name, digest=_digest(trust, value), id=f"k_{value}", **fields)

    return make


@pytest.fixture
def former(trust):
    """`former(value, until)`: the key of before."""
    return lambda value, until: FormerKeyEntry(_digest(trust, value), f"k_{value}", until)


@pytest.fixture
def enroll(world):
    """`enroll(*callers, gone, service)`: tell the worker."""

    def tell(*callers, gone=(), service="diabetes"):
        world.enroll(RosterChange(service=service, callers=callers, gone=gone))

    return tell


@pytest.fixture
def knock(entry, exchange, world):
    """`knock(value, operation, now, keys, **spec)`: the reply of the service's checks, or the caller."""

    def send(value, *, operation="score", now=0.0, keys=("p-key", "s-key"), **spec):
        made = exchange((b"authorization", b"Bearer " + value.encode()), operation=operation, now=now)
        for check in compile_checks(entry(keys=keys, **spec), world):
            reply = check(made)
            if reply is not None:
                return reply
        return made.caller

    return send


@pytest.fixture
def compiled(entry, exchange, world):
    """`compiled()`: why the checks as they are compiled now refuse a value, later on."""

    def now():
        checks = compile_checks(entry(), world)

        def send(value):
            made = exchange((b"authorization", b"Bearer " + value.encode()))
            return next((reply.reason for check in checks if (reply := check(made))), None)

        return send

    return now


def _digest(trust, value):
    return key.digest(trust.digest_key, value.encode())


def test_a_caller_is_named(enroll, knock, caller):
    """Its key opens, and the caller is known by name and key id, without a slot; the service's own pair still opens."""
    enroll(caller())
    assert knock("acme-key") == Caller("key", "acme", "k_acme-key")
    assert knock("p-key").slot == "primary"
    assert knock("other-key").reason == "wrong_key"


def test_only_at_its_service(enroll, knock, caller):
    """A caller of another service is a stranger here."""
    enroll(caller(), service="risk")
    assert knock("acme-key").reason == "wrong_key"


def test_where_no_key_opens_a_callers_key_does_not(enroll, knock, caller):
    """A service that opens with tokens only stays shut."""
    enroll(caller())
    assert knock("acme-key", auth_enabled=False, token_auth_enabled=True).reason == "key_not_accepted"


@pytest.mark.parametrize(("operation", "verb"), [("score", "score"), ("extra", "score"), ("swagger", "swagger")])
def test_verbs(enroll, knock, caller, operation, verb):
    """What the key is not for is 403 with insufficient_scope (RFC 6750); what it is for passes."""
    enroll(caller(verbs=tuple(other for other in VERBS if other != verb)))
    reply = knock("acme-key", operation=operation)
    assert (reply.status, reply.reason) == (403, "insufficient_scope")
    assert b'error="insufficient_scope"' in reply.headers[0][1]
    enroll(caller(verbs=(verb,)))
    assert knock("acme-key", operation=operation).subject == "acme"


def test_expiry(enroll, knock, caller, wall):
    """From the second on the key opens nothing, and the reason says that it expired, and when."""
    enroll(caller(expires_at=wall + 0.001))
    assert knock("acme-key").subject == "acme"
    enroll(caller(expires_at=wall))
    reply = knock("acme-key")
    assert (reply.status, reply.reason) == (401, "expired_key")
    assert reply.detail == "The key of acme expired at 2027-01-15T08:00:00Z."
    assert b'error="invalid_token"' in reply.headers[0][1]


def test_grace(enroll, knock, caller, former, wall):
    """The key of before opens until its time, with its own id; then the reason says what happened to it."""
    enroll(caller(value="new", former=former("old", wall + 1)))
    assert [knock(value).key_id for value in ("new", "old")] == ["k_new", "k_old"]
    enroll(caller(value="new", former=former("old", wall)))
    assert knock("new").subject == "acme"
    assert knock("old").detail == "This key of acme was replaced, and opened until 2027-01-15T08:00:00Z."


def test_a_caller_that_expires_takes_its_former_key_with_it(enroll, knock, caller, former, wall):
    """Grace never outlives the caller."""
    enroll(caller(value="new", expires_at=wall, former=former("old", wall + 100)))
    assert knock("old").detail.startswith("The key of acme expired")


def test_a_change_replaces(enroll, knock, caller, former, wall):
    """What was told of a caller before counts no more, its former key included."""
    enroll(caller(value="one", former=former("zero", wall + 100)))
    enroll(caller(value="two"))
    assert [getattr(knock(value), "subject", None) for value in ("zero", "one", "two")] == [None, None, "acme"]


def test_the_revoked_and_the_others(enroll, knock, caller, compiled):
    """One that is gone opens nothing, not even checks that were compiled before; the others are untouched."""
    enroll(caller("a", "a-key"), caller("b", "b-key"))
    knock_again = compiled()
    enroll(gone=("a", "never-there"))
    assert (knock("a-key").reason, knock("b-key").subject) == ("wrong_key", "b")
    assert knock_again("a-key") == "wrong_key"


def test_dismissed(enroll, caller, world, knock, compiled):
    """With its service a whole roster goes, from compiled checks too; other rosters stay."""
    enroll(caller())
    enroll(caller(), service="risk")
    knock_again = compiled()
    world.dismiss(["diabetes", "never-there"])
    assert list(world.rosters) == ["risk"]
    assert knock("acme-key").reason == "wrong_key"
    assert knock_again("acme-key") == "wrong_key"


def test_limits_of_its_own(enroll, knock, caller):
    """Counted over both of its keys, for it alone; another caller and the service's own keys are not counted."""
    enroll(caller("a", "a-key", rate_limits=(CallerLimitSpec("two", 2, 60.0),)), caller("b", "b-key"))
    replies = [knock("a-key", now=100.0) for _ in range(3)]
    assert [getattr(reply, "status", 200) for reply in replies] == [200, 200, 429]
    assert dict(replies[2].headers)[b"ratelimit-policy"] == b'"two";q=2;w=60'
    assert [knock(value, now=100.0).auth_type for value in ("b-key", "p-key") for _ in range(5)] == ["key"] * 10


def test_a_new_key_is_no_new_limit(enroll, knock, caller, former, wall):
    """Who changes over to another key has used up what it has used up."""
    limits = (CallerLimitSpec("two", 2, 60.0),)
    enroll(caller(value="old", rate_limits=limits))
    assert knock("old", now=100.0).subject == "acme"
    enroll(caller(value="new", rate_limits=limits, former=former("old", wall + 9)))
    assert [getattr(knock(value, now=100.0), "status", 200) for value in ("new", "old", "new")] == [200, 429, 429]


def test_its_refusal_uses_up_nothing_of_the_service(enroll, knock, caller):
    """The caller's own limits are asked first; a limit of the service that refuses gives back what it took of them."""
    service = {"rate_limits": (RateLimitSpec("all", 3, 60.0),)}
    enroll(caller("a", "a-key", rate_limits=(CallerLimitSpec("one", 1, 60.0),)), caller("b", "b-key"))
    asked = [knock("a-key", now=100.0, **service) for _ in range(5)]
    assert [getattr(reply, "status", 200) for reply in asked] == [200, 429, 429, 429, 429]
    assert [getattr(knock("b-key", now=100.0, **service), "status", 200) for _ in range(3)] == [200, 200, 429]
    enroll(caller("c", "c-key", rate_limits=(CallerLimitSpec("one", 1, 60.0),)))
    assert dict(knock("c-key", now=100.0, **service).headers)[b"ratelimit-policy"].startswith(b'"all"')
    assert knock("c-key", now=121.0, **service).subject == "c"


def test_nobody_pays_for_what_nobody_has(enroll, caller, entry, world):
    """No check of limits without limits; with callers that have none neither; the control: with one that has."""
    assert compile_limits(entry(), world) is None
    enroll(caller("a", "a-key"))
    assert compile_limits(entry(), world) is None
    enroll(caller("b", "b-key", rate_limits=(CallerLimitSpec("one", 1),)))
    assert compile_limits(entry(), world) is not None
    enroll(gone=("b",))
    assert compile_limits(entry(), world) is None
