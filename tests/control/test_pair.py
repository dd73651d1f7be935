"""What becomes of a key pair: another key, a grace for the one before, an end. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.control.keyring import Keyring
from gateway.control.pair import NewKey, expiring, regenerated
from gateway.control.refusal import Refused
from gateway.control.service import created
from gateway.core.vault import KEY_BYTES, Vault, VaultError

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


@pytest.fixture
def keyring() -> Keyring:
    return Keyring(Vault({"d1": b"d" * KEY_BYTES}), b"h" * 32)


@pytest.fixture
def service(keyring, make_spec):
    """`service(**spec)`: one that was made now."""
    return lambda **fields: created(keyring, "diabetes", make_spec(**fields), NOW)


def ends(keyring, record) -> tuple[str, datetime | None]:
    """The value before and until when it opens."""
    entry = keyring.entry(record)
    assert record.former is not None
    assert entry.former.until == record.former.until.timestamp()
    return entry.former.digest, record.former.until


def test_without_a_grace_nothing_is_left_of_the_old_key(keyring, service) -> None:
    """The record after holds one value; neither version opens as the other."""
    before = service()
    after, record = regenerated(keyring, before, "primary", NewKey(), NOW + MINUTE)
    assert (record.version, record.former, record.expires_at, record.created_at) == (2, None, None, NOW + MINUTE)
    assert keyring.value(record) != keyring.value(before.keys["primary"])
    assert after.keys == {"primary": record, "secondary": before.keys["secondary"]}
    with pytest.raises(VaultError):
        keyring.value(replace(record, value=before.keys["primary"].value))


def test_a_grace_keeps_the_old_key(keyring, service) -> None:
    """Under its own id, sealed for the place of a former key, and told to the workers with its end."""
    before = service()
    _, record = regenerated(keyring, before, "secondary", NewKey(grace_seconds=60), NOW)
    old = before.keys["secondary"]
    assert ends(keyring, record) == (keyring.digest(keyring.value(old)), NOW + MINUTE)
    assert (record.former.id, record.former.value != old.value) == (old.id, True)
    with pytest.raises(VaultError):
        keyring.value(replace(old, value=record.former.value))


def test_a_second_regeneration_ends_the_first_grace(keyring, service) -> None:
    """At most two values open a slot: the one that was in force, if it has a grace, and the new one."""
    first, _ = regenerated(keyring, service(), "primary", NewKey(grace_seconds=3600), NOW)
    second, record = regenerated(keyring, first, "primary", NewKey(grace_seconds=60), NOW + MINUTE)
    in_force = keyring.digest(keyring.value(first.keys["primary"]))
    assert ends(keyring, record) == (in_force, NOW + 2 * MINUTE)
    _, record = regenerated(keyring, second, "primary", NewKey(), NOW + MINUTE)
    assert record.former is None


def test_a_grace_is_no_longer_than_the_life_of_the_key(keyring, service) -> None:
    """A key that would have ended does; one that has ended gets no grace."""
    before, _ = expiring(keyring, service(), "primary", NOW + MINUTE, NOW)
    _, record = regenerated(keyring, before, "primary", NewKey(grace_seconds=3600), NOW)
    assert ends(keyring, record)[1] == NOW + MINUTE
    _, record = regenerated(keyring, before, "primary", NewKey(grace_seconds=3600), NOW + MINUTE)
    assert record.former is None


def test_as_the_service_is_configured(keyring, service) -> None:
    """Lifetime and grace of the service hold for what the request leaves open, and for nothing it says."""
    before = service(key_lifetime_days=30, key_grace_seconds=60)
    assert {record.expires_at for record in before.keys.values()} == {NOW + 30 * DAY}
    _, record = regenerated(keyring, before, "primary", NewKey(), NOW + DAY)
    assert (record.expires_at, record.former.until) == (NOW + 31 * DAY, NOW + DAY + MINUTE)
    asked = NewKey(grace_seconds=0, expires_at=NOW + 2 * DAY)
    _, record = regenerated(keyring, before, "primary", asked, NOW + DAY)
    assert (record.expires_at, record.former) == (NOW + 2 * DAY, None)


def test_another_end_is_the_same_key(keyring, service) -> None:
    """Value, id and grace stay; it is a new version of the record; None takes the end away."""
    before, regenerate = regenerated(keyring, service(), "primary", NewKey(grace_seconds=60), NOW)
    after, record = expiring(keyring, before, "primary", NOW + DAY, NOW)
    assert (record.version, record.id, record.former) == (3, regenerate.id, regenerate.former)
    assert keyring.value(record) == keyring.value(regenerate)
    assert keyring.entry(record).expires_at == (NOW + DAY).timestamp()
    assert expiring(keyring, after, "primary", None, NOW)[1].expires_at is None


@pytest.mark.parametrize("when", [NOW, NOW - DAY])
def test_no_key_ends_in_the_past(keyring, service, when: datetime) -> None:
    """Neither a new one nor one that there is: who wants to end a key at once regenerates it."""
    for change in (
        lambda: regenerated(keyring, service(), "primary", NewKey(expires_at=when), NOW),
        lambda: expiring(keyring, service(), "primary", when, NOW),
    ):
        with pytest.raises(Refused, match="over already") as refused:
            change()
        assert refused.value.faults[0].path == "expires_at"


def test_no_keys_no_changes(keyring, service) -> None:
    """409 where no key opens the service."""
    closed = service(auth_enabled=False)
    for change in (
        lambda: regenerated(keyring, closed, "primary", NewKey(), NOW),
        lambda: expiring(keyring, closed, "primary", None, NOW),
    ):
        with pytest.raises(Refused) as refused:
            change()
        assert refused.value.status == 409
