"""The door for keys: which value opens, until when, and what is said to the others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core import key
from gateway.core.exchange import Caller
from gateway.core.snapshot import FormerKeyEntry
from gateway.policy.key_door import KeyDoor

NEW, OTHER, OLD = "the-new-value", "the-other-value", "the-old-value"
GRACE = 60.0


@pytest.fixture
def former(world, wall):
    """`former(value, until)`: the key before, which opens for a minute more."""

    def make(value=OLD, until=wall + GRACE):
        return FormerKeyEntry(key.digest(world.trust.digest_key, value.encode()), "k_former", until)

    return make


@pytest.fixture
def knock(entry, world, exchange):
    """`knock(value, seconds_later, primary={…}, secondary={…})`: what a door with these two keys says then."""

    def make(value, later=0.0, *, primary=(), secondary=()):
        service = entry(keys=(NEW, OTHER))
        changes = (dict(primary), dict(secondary))
        keys = tuple(replace(known, **change) for known, change in zip(service.keys, changes, strict=True))
        made = exchange()
        made.wall += later
        return KeyDoor(replace(service, keys=keys), world).open(value.encode(), made)

    return make


def test_a_service_without_keys_opens_for_nobody(entry, world, exchange):
    """Key authentication before the first key was made: shut, not open."""
    assert KeyDoor(entry(), world).open(b"x", exchange()).reason == "wrong_key"


def test_the_old_value_opens_until_its_grace_ends(knock, former):
    """To the very second, as the same slot under an id of its own; the new value and the other slot open all along."""
    grace = {"former": former()}
    for later in (0.0, GRACE - 0.001):
        assert knock(OLD, later, primary=grace) == Caller("key", "diabetes/primary", "k_former", "primary")
    for later in (0.0, GRACE, 1e9):
        assert knock(NEW, later, primary=grace).key_id == "k_diabetes_primary"
        assert knock(OTHER, later, primary=grace).key_id == "k_diabetes_secondary"
    refused = knock(OLD, GRACE, primary=grace)
    assert (refused.status, refused.reason) == (401, "expired_key")
    told = "This primary key of diabetes was replaced, and opened until 2027-01-15T08:01:00Z."
    assert refused.detail == told


def test_a_key_opens_until_it_expires(knock, wall):
    """From its time on it is refused by a reason of its own; the other slot, which never ends, opens."""
    ends = {"expires_at": wall + 5}
    assert isinstance(knock(NEW, 4.999, primary=ends), Caller)
    refused = knock(NEW, 5.0, primary=ends)
    assert (refused.status, refused.reason) == (401, "expired_key")
    assert refused.detail == "The primary key of diabetes expired at 2027-01-15T08:00:05Z."
    assert b'error="invalid_token"' in dict(refused.headers)[b"www-authenticate"]
    assert isinstance(knock(OTHER, 5.0, primary=ends), Caller)


@pytest.mark.parametrize("slot", ["primary", "secondary"])
def test_a_value_in_force_is_no_former_one(knock, former, slot):
    """Set again to a value that is in its grace, in this slot or the other: it opens after the grace, too."""
    again = {slot: {"former": former(NEW)}}
    assert knock(NEW, GRACE, **again).key_id == "k_diabetes_primary"


def test_control_a_door_that_does_not_look_at_the_clock_is_seen(knock, former, monkeypatch):
    """Control: with the time of day stopped at the start, the old value opens for ever, which the test above denies."""

    class Stopped(KeyDoor):
        def open(self, credential, exchange):
            exchange.wall -= GRACE
            return super().open(credential, exchange)

    monkeypatch.setitem(knock.__globals__, "KeyDoor", Stopped)
    assert isinstance(knock(OLD, GRACE, primary={"former": former()}), Caller)
