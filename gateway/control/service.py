"""A service as the control process knows it, and the pure changes it can go through.

A change returns the next state; nothing is saved or published here. Raises `Refused` with what the caller should do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from gateway.control.caller import NamedCaller
from gateway.control.keyring import Keyring, settable
from gateway.control.refusal import Fault, Refused
from gateway.core import key
from gateway.core.record import SLOTS, KeyRecord, RevocationRecord, ServiceRecord, Slot
from gateway.core.spec import KeysSpec, ServiceSpec

REFERENCES = ("env:", "file:")


class Place(Protocol):
    """Where in the configuration a service is declared."""

    @property
    def file(self) -> str:
        """The file, as a person knows it."""

    @property
    def line(self) -> int | None:
        """Counted from 1; None where there is no file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """`spec` has no secrets. `callers`: by name. `revoked`: tokens that open it no more.

    `place`: where it is declared, for those of the file; `keys_in_file`: with their keys.
    """

    record: ServiceRecord
    spec: ServiceSpec
    keys: Mapping[Slot, KeyRecord] = field(default_factory=dict)
    callers: Mapping[str, NamedCaller] = field(default_factory=dict)
    revoked: tuple[RevocationRecord, ...] = ()
    place: Place | None = None
    keys_in_file: bool = False

    @property
    def name(self) -> str:
        """Its name, which never changes."""
        return self.record.name

    @property
    def etag(self) -> str:
        """Names this version of this service: one that is deleted and made again has another."""
        return f'"{self.record.version}-{int(self.record.created_at.timestamp() * 1000):x}"'

    @property
    def born(self) -> int:
        """The first whole second of its life (Unix seconds).

        The `iat` of a token has whole seconds: one that was issued in the second of the making, for an earlier service
        of this name, must look older than this one.
        """
        return math.ceil(self.record.created_at.timestamp())

    @property
    def declared_at(self) -> str:
        """File and line, for messages."""
        return shown(self.place)


def shown(place: Place | None) -> str:
    """A place in words."""
    if place is None:
        return "the configuration"
    return place.file if place.line is None else f"{place.file}, line {place.line}"


def without_secrets(spec: ServiceSpec) -> ServiceSpec:
    """The spec as it may be kept, served and shown."""
    classic = spec.classic
    if classic is not None:
        endpoints = {name: replace(endpoint, keys=None) for name, endpoint in classic.endpoints.items()}
        classic = replace(classic, endpoints=endpoints)
    return replace(spec, keys=None, classic=classic)


def created(keyring: Keyring, name: str, spec: ServiceSpec, now: datetime) -> Service:
    """A service that the admin API makes."""
    bare = without_secrets(_from_outside(spec))
    record = ServiceRecord(name=name, origin="api", spec=bare, created_at=now, updated_at=now)
    return Service(record=record, spec=bare, keys=first_keys(keyring, name, spec, now))


def updated(keyring: Keyring, before: Service, spec: ServiceSpec, now: datetime) -> Service:
    """The service with another spec. It keeps its keys; it gets a pair when it had none and needs one."""
    if before.record.origin == "file":
        raise Refused(409, f"{before.name} is declared in {before.declared_at}: change it there.")
    bare = without_secrets(_from_outside(spec))
    if spec.keys is not None and before.keys:
        _same_keys(keyring, before, spec.keys)
    keys = before.keys or first_keys(keyring, before.name, spec, now)
    record = replace(before.record, spec=bare, updated_at=now, version=before.record.version + 1)
    return replace(before, record=record, spec=bare, keys=keys)


def first_keys(keyring: Keyring, name: str, spec: ServiceSpec, now: datetime) -> dict[Slot, KeyRecord]:
    """The first key pair: the values of `spec.keys` or random ones; none where no key opens the service."""
    if not spec.key_auth:
        return {}
    given = {slot: getattr(spec.keys, slot) if spec.keys else key.generate() for slot in SLOTS}
    values = {slot: settable(given[slot], f"keys.{slot}") for slot in SLOTS}
    return {slot: keyring.seal(name, slot, 1, values[slot], now, expires_at=expiry(spec, now)) for slot in SLOTS}


def expiry(spec: ServiceSpec, now: datetime) -> datetime | None:
    """When a key that is made now expires, as the service is configured."""
    return None if spec.key_lifetime_days is None else now + timedelta(days=spec.key_lifetime_days)


def require_keys(service: Service) -> None:
    """Refused (409) when no key opens the service."""
    if not service.spec.key_auth:
        how = "tokens only" if service.spec.token_auth else "anyone, without a credential"
        detail = f"{service.name} has no keys because auth_enabled is false: it opens to {how}."
        raise Refused(409, detail)


def _from_outside(spec: ServiceSpec) -> ServiceSpec:
    """The spec, if the admin API may set it. References are for the file: here they would read the server's secrets."""
    if spec.classic and any(endpoint.keys for endpoint in spec.classic.endpoints.values()):
        reason = "keys of classic endpoints cannot be set over the admin API"
        raise Refused(400, f"{reason.capitalize()}.", (Fault("classic.endpoints", reason),))
    if spec.keys is None:
        return spec
    if not spec.key_auth:
        reason = "auth_enabled is false, so no key opens this service"
        raise Refused(400, f"keys are given, but {reason}.", (Fault("keys", reason),))
    for slot in SLOTS:
        if getattr(spec.keys, slot).startswith(REFERENCES):
            reason = "env: and file: stand for values in the configuration file only; send the value itself"
            raise Refused(400, f"A key {reason}.", (Fault(f"keys.{slot}", reason),))
        settable(getattr(spec.keys, slot), f"keys.{slot}")
    return spec


def _same_keys(keyring: Keyring, before: Service, given: KeysSpec) -> None:
    for slot in SLOTS:
        if keyring.value(before.keys[slot]) != getattr(given, slot):
            reason = f"the service has its keys: change one with POST …/services/{before.name}/keys/{slot}/regenerate"
            raise Refused(400, f"`keys` only sets the first values; {reason}.", (Fault(f"keys.{slot}", reason),))
