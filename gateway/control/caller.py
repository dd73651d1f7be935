"""A named caller as the control process knows it, and the pure changes it can go through.

A change returns the next state; nothing is saved or published here. Raises `Refused` with what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from gateway.control.keyring import Keyring
from gateway.control.refusal import Fault, Refused
from gateway.core import key
from gateway.core.caller import CallerSpec
from gateway.core.record import CallerRecord, FormerKey
from gateway.core.snapshot import CallerEntry, FormerKeyEntry, RosterChange
from gateway.core.store import Store
from gateway.core.verb import VERBS


@dataclass(frozen=True, slots=True)
class NamedCaller:
    """What the store keeps of a caller, and what workers hold of it."""

    record: CallerRecord
    entry: CallerEntry

    @property
    def name(self) -> str:
        """Its name, which never changes."""
        return self.record.name


@dataclass(frozen=True, slots=True)
class CallersChange:
    """All callers of a service as they will be, what workers are told of it, and how it is saved."""

    callers: Mapping[str, NamedCaller]
    update: RosterChange
    save: Callable[[Store], object]


def known(keyring: Keyring, record: CallerRecord, now: datetime) -> NamedCaller:
    """The caller of a record. A former key whose time is over is told to nobody."""
    if record.former is not None and record.former.until <= now:
        record = replace(record, former=None)
    return NamedCaller(record, _entry(record, keyring.digest(value(keyring, record)), _former(keyring, record)))


def value(keyring: Keyring, record: CallerRecord) -> str:
    """The key itself."""
    return keyring.opened(record.value, _place(record, record.id))


def created(keyring: Keyring, service: str, name: str, spec: CallerSpec, now: datetime) -> NamedCaller:
    """A caller with a random key."""
    return _keyed(keyring, service, name, _lasting(spec, now), now)


def changed(before: NamedCaller, spec: CallerSpec, now: datetime) -> NamedCaller:
    """The caller with other verbs, limits or another expiry, and the key it has."""
    if spec.expires_at != before.record.spec.expires_at:
        _lasting(spec, now)
    record = replace(before.record, spec=_ordered(spec), version=before.record.version + 1)
    return NamedCaller(record, _entry(record, before.entry.digest, before.entry.former))


def regenerated(keyring: Keyring, before: NamedCaller, grace_seconds: int, now: datetime) -> NamedCaller:
    """The caller with another key. The one it had opens for `grace_seconds` more; one before that, no more."""
    old, ends = before.record, before.record.spec.expires_at
    if ends is not None and ends <= now:
        raise Refused(409, f"{old.name} expired at {ends:%Y-%m-%d %H:%M} UTC: give it another expires_at first.")
    after = _keyed(keyring, old.service, old.name, old.spec, now)
    record = replace(after.record, created_at=old.created_at, version=old.version + 1)
    if not grace_seconds:
        return replace(after, record=record)
    until = now + timedelta(seconds=grace_seconds)
    former = FormerKey(old.id, old.value, until if ends is None else min(until, ends))
    entry = FormerKeyEntry(before.entry.digest, old.id, former.until.timestamp())
    return NamedCaller(replace(record, former=former), replace(after.entry, former=entry))


def _keyed(keyring: Keyring, service: str, name: str, spec: CallerSpec, now: datetime) -> NamedCaller:
    made, key_id = key.generate(), key.new_id()
    record = CallerRecord(
        service=service,
        name=name,
        id=key_id,
        version=1,
        value=keyring.sealed(made, _path(service, name, key_id)),
        spec=_ordered(spec),
        created_at=now,
        regenerated_at=now,
    )
    return NamedCaller(record, _entry(record, keyring.digest(made), None))


def _entry(record: CallerRecord, digest: bytes, former: FormerKeyEntry | None) -> CallerEntry:
    spec = record.spec
    return CallerEntry(
        name=record.name,
        digest=digest,
        id=record.id,
        verbs=spec.verbs,
        expires_at=None if spec.expires_at is None else spec.expires_at.timestamp(),
        rate_limits=spec.rate_limits,
        former=former,
    )


def _former(keyring: Keyring, record: CallerRecord) -> FormerKeyEntry | None:
    former = record.former
    if former is None:
        return None
    digest = keyring.digest(keyring.opened(former.value, _place(record, former.id)))
    return FormerKeyEntry(digest, former.id, former.until.timestamp())


def _lasting(spec: CallerSpec, now: datetime) -> CallerSpec:
    if spec.expires_at is not None and spec.expires_at <= now:
        reason = "is over already"
        raise Refused(400, f"expires_at {reason}.", (Fault("expires_at", reason),))
    return spec


def _ordered(spec: CallerSpec) -> CallerSpec:
    return replace(spec, verbs=tuple(verb for verb in VERBS if verb in spec.verbs))


def _place(record: CallerRecord, key_id: str) -> str:
    return _path(record.service, record.name, key_id)


def _path(service: str, name: str, key_id: str) -> str:
    return f"caller/{service}/{name}/{key_id}"
