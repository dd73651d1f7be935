"""Which key signs when: every step from one state of the keys to the next, as values."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from gateway.control import rotation
from gateway.control.rotation import MARGIN, Schedule, TooSoon
from gateway.core.record import Sealed, SigningKeyRecord

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(days=1)
PLAN = Schedule("EdDSA", 30 * DAY, 86_400, timedelta())
SHARED = replace(PLAN, ahead=timedelta(seconds=15))


class Keys:
    """The records of a gateway whose clock a test moves."""

    def __init__(self, plan=PLAN, records=()):
        self.now = NOON
        self.plan = plan
        self.records = list(records)
        self._names = count(1)

    def make(self, algorithm):
        name = f"key-{next(self._names)}"
        return SigningKeyRecord(
            kid=name,
            algorithm=algorithm,
            public_jwk={"kid": name},
            private_key=Sealed("d", b""),
            state="next",
            created_at=self.now,
        )

    def do(self, step, **how):
        self.records = list(step(self.records, self.plan, self.now, self.make, **how))
        assert [record.state for record in self.records].count("active") == 1
        assert [record.state for record in self.records].count("next") == 1
        return self

    @property
    def states(self):
        return {record.kid: record.state for record in self.records}

    def of(self, state):
        return next(record for record in self.records if record.state == state)


@pytest.fixture
def keys():
    """Those of a gateway that has just been founded."""
    return Keys().do(rotation.begun)


def test_the_first_start_makes_two(keys):
    """One signs from now on, for tokens as long as configured; the next is published already."""
    assert keys.states == {"key-1": "active", "key-2": "next"}
    assert keys.of("active").signs_from == NOON
    assert keys.of("active").lifetime_seconds == 86_400
    assert {record.algorithm for record in keys.records} == {"EdDSA"}


def test_a_later_start_changes_nothing(keys):
    """As long as the same is asked for."""
    before = keys.records
    keys.now += DAY
    assert keys.do(rotation.begun).records == before
    assert keys.do(rotation.kept_up).records == before


def test_the_next_signs_when_the_first_has_had_its_time(keys):
    """Exactly then; the old one verifies on until its last token has expired, and a successor waits."""
    keys.now += 30 * DAY - timedelta(seconds=1)
    assert keys.do(rotation.kept_up).states == {"key-1": "active", "key-2": "next"}
    keys.now += timedelta(seconds=1)
    assert keys.do(rotation.kept_up).states == {"key-1": "retiring", "key-2": "active", "key-3": "next"}
    assert keys.of("retiring").not_after == keys.now + DAY + MARGIN
    assert keys.of("active").signs_from == keys.now
    assert keys.of("active").created_at == NOON


def test_a_key_is_forgotten_with_its_last_token(keys):
    """Not a moment earlier."""
    keys.now += 30 * DAY
    keys.do(rotation.kept_up)
    keys.now = keys.of("retiring").not_after - timedelta(microseconds=1)
    assert "key-1" in keys.do(rotation.kept_up).states
    keys.now += timedelta(microseconds=1)
    assert keys.do(rotation.kept_up).states == {"key-2": "active", "key-3": "next"}


def test_every_key_was_published_before_it_signed(keys):
    """Over a year of rotations: who signs was `next` for the whole time of its predecessor."""
    for _ in range(12):
        following = keys.of("next").kid
        keys.now += 30 * DAY
        assert keys.do(rotation.kept_up).of("active").kid == following
        assert len(keys.records) <= 3


def test_on_demand_the_next_signs_at_once(keys):
    """Any number of times where one gateway has the store; the retiring ones pile up until their tokens are gone."""
    for turn in range(1, 4):
        assert keys.do(rotation.rotated).of("active").kid == f"key-{turn + 1}"
    assert list(keys.states.values()).count("retiring") == 3
    keys.now += DAY + MARGIN
    assert len(keys.do(rotation.kept_up).records) == 2


def test_a_rotation_may_leave_no_key_of_before(keys):
    """Then no token opens anything: neither those of the active key nor of one that retires."""
    keys.do(rotation.rotated).do(rotation.rotated, revoke=True)
    assert keys.states == {"key-3": "active", "key-4": "next"}


def test_other_replicas_get_time_to_learn_a_key():
    """On demand: the next key may sign once it was published for so long; else it is said when."""
    keys = Keys(SHARED).do(rotation.begun)
    keys.now += timedelta(seconds=5)
    with pytest.raises(TooSoon) as caught:
        keys.do(rotation.rotated)
    assert caught.value.seconds == 10
    keys.now += timedelta(seconds=10)
    assert keys.do(rotation.rotated).of("active").kid == "key-2"


def test_another_algorithm_takes_over(keys):
    """At a start that asks for it: its key is the next one, and signs as soon as it may; the old one verifies on."""
    keys.plan = replace(PLAN, algorithm="ES256")
    assert keys.do(rotation.begun).states == {"key-1": "retiring", "key-3": "active", "key-4": "next"}
    assert {record.kid: record.algorithm for record in keys.records} == {
        "key-1": "EdDSA",
        "key-3": "ES256",
        "key-4": "ES256",
    }


def test_another_algorithm_waits_for_the_other_replicas():
    """They know its key before it signs, by looking; and they carry the change on themselves."""
    keys = Keys(SHARED).do(rotation.begun)
    keys.plan = replace(SHARED, algorithm="RS256")
    assert keys.do(rotation.begun).of("active").algorithm == "EdDSA"
    keys.plan = SHARED
    keys.now += timedelta(seconds=15)
    assert keys.do(rotation.kept_up).of("active").algorithm == "RS256"
    assert keys.of("next").algorithm == "RS256"


def test_replicas_with_different_settings_do_not_fight():
    """One that runs with the old algorithm leaves alone what one that was started with the new one did."""
    keys = Keys(SHARED).do(rotation.begun)
    old, new = SHARED, replace(SHARED, algorithm="ES256")
    keys.plan = new
    keys.do(rotation.begun)
    for turn in range(20):
        keys.plan = (old, new)[turn % 2]
        keys.now += timedelta(seconds=10)
        keys.do(rotation.kept_up)
    assert keys.of("active").algorithm == "ES256"
    assert len(keys.records) == 3


def test_the_longest_life_of_a_token_counts(keys):
    """It was configured longer once: a key that signed then must verify for so long."""
    keys.plan = replace(PLAN, lifetime_seconds=7 * 86_400)
    keys.do(rotation.begun)
    keys.plan = PLAN
    keys.do(rotation.begun)
    assert rotation.last_expiry(keys.records, keys.now) == keys.now + 7 * DAY + MARGIN
    assert keys.do(rotation.rotated).of("retiring").not_after == keys.now + 7 * DAY + MARGIN
    assert keys.of("active").lifetime_seconds == 86_400
    assert rotation.last_expiry(keys.records, keys.now) == keys.now + 7 * DAY + MARGIN


def test_keys_of_an_earlier_release_go_on():
    """One active key that knows neither since when it signs nor for how long: it signs on, with a successor."""
    bare = replace(Keys().make("EdDSA"), kid="old", state="active", created_at=NOON - 29 * DAY)
    keys = Keys(records=[bare]).do(rotation.begun)
    assert keys.states == {"old": "active", "key-1": "next"}
    assert keys.of("active").lifetime_seconds == 86_400
    keys.now += DAY
    assert keys.do(rotation.kept_up).of("active").kid == "key-1"


def test_a_state_that_should_not_be_is_mended():
    """Two active keys, two next ones, as no step leaves them: of each one is kept, and none that signed is lost."""
    make = Keys().make
    records = [replace(make("EdDSA"), state=state) for state in ("active", "active", "next", "next")]
    keys = Keys(records=records).do(rotation.kept_up)
    assert sorted(keys.states.values()) == ["active", "next", "retiring"]
    assert keys.states["key-1"] == "retiring"
    assert keys.of("retiring").not_after is not None


@pytest.mark.parametrize("lost", ["active", "next"])
def test_a_lost_key_is_replaced(keys, lost):
    """At a start: somebody deleted it in the store."""
    keys.records = [record for record in keys.records if record.state != lost]
    keys.do(rotation.begun)
