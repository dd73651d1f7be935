"""The pure changes of a service's key pair: another key in a slot, with or without a grace for the one before; expiry.

Nothing is saved or published here. A regeneration ends the grace of the one before it: at most two values open a slot.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from gateway.control.keyring import Keyring, settable
from gateway.control.refusal import Fault, Refused
from gateway.control.service import Service, expiry, require_keys
from gateway.core import key
from gateway.core.record import KeyRecord, Slot
from gateway.core.spec import ServiceSpec


@dataclass(frozen=True, slots=True)
class NewKey:
    """What is asked of a key that takes the place of another.

    `value`: None is a random one. `grace_seconds`, `expires_at`: None is as the service is configured.
    """

    value: str | None = None
    grace_seconds: int | None = None
    expires_at: datetime | None = None


def regenerated(
    keyring: Keyring, before: Service, slot: Slot, wanted: NewKey, now: datetime
) -> tuple[Service, KeyRecord]:
    """The service with another key in one slot, and that key's record."""
    require_keys(before)
    if before.keys_in_file:
        detail = f"The keys of {before.name} are given by `keys:` in {before.declared_at}: change the value there."
        raise Refused(409, detail)
    _lasting(wanted.expires_at, now)
    if wanted.value is not None:
        settable(wanted.value, "value")
        if wanted.value in (keyring.value(other) for other in _others(before, slot)):
            reason = "is the key of the other slot: both would end with the next rotation"
            raise Refused(400, f"The value {reason}.", (Fault("value", reason),))
    record = successor(keyring, before.keys[slot], before.spec, wanted, now)
    return replace(before, keys={**before.keys, slot: record}), record


def successor(keyring: Keyring, before: KeyRecord, spec: ServiceSpec, wanted: NewKey, now: datetime) -> KeyRecord:
    """The next version of a slot. A grace lasts no longer than the key it is for would have lasted."""
    grace = spec.key_grace_seconds if wanted.grace_seconds is None else wanted.grace_seconds
    until = now + timedelta(seconds=grace)
    if before.expires_at is not None:
        until = min(until, before.expires_at)
    return keyring.seal(
        before.service,
        before.slot,
        before.version + 1,
        key.generate() if wanted.value is None else wanted.value,
        now,
        expires_at=wanted.expires_at or expiry(spec, now),
        former=keyring.former(before, until) if until > now else None,
    )


def expiring(
    keyring: Keyring, before: Service, slot: Slot, expires_at: datetime | None, now: datetime
) -> tuple[Service, KeyRecord]:
    """The service with another expiry of one key (None: never), and that key's record."""
    require_keys(before)
    _lasting(expires_at, now)
    record = keyring.expiring(before.keys[slot], expires_at)
    return replace(before, keys={**before.keys, slot: record}), record


def _lasting(expires_at: datetime | None, now: datetime) -> None:
    if expires_at is not None and expires_at <= now:
        reason = "is over already: to end a key at once, regenerate it"
        raise Refused(400, f"expires_at {reason}.", (Fault("expires_at", reason),))


def _others(service: Service, slot: Slot) -> Iterable[KeyRecord]:
    return (record for other, record in service.keys.items() if other != slot)
