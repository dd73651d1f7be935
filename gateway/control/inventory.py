"""Which services there are: those of the file, and those of the store; at a start, and when the file changed. Blocks.

A service of the file keeps its spec there; the store keeps its keys, and when it was made. One that left the file keeps
its record, so that a line commented out for an hour costs nobody a key.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from gateway.control.caller import NamedCaller, known
from gateway.control.difference import host_clashes
from gateway.control.keyring import Keyring, settable
from gateway.control.pair import NewKey, successor
from gateway.control.refusal import Refused, StartError
from gateway.control.service import Place, Service, first_keys, shown, without_secrets
from gateway.core.audit import CONFIGURATION, AuditEntry
from gateway.core.record import SLOTS, KeyRecord, RevocationRecord, ServiceRecord, Slot
from gateway.core.spec import ServiceSpec
from gateway.core.store import Conflict, Store

ATTEMPTS = 3
"""Replicas that start together on one store write the same first records: who loses reads again."""

T = TypeVar("T")

log = logging.getLogger("gateway.control")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """`declared`: the services of the file, at their `places`."""

    declared: Mapping[str, ServiceSpec]
    places: Mapping[str, Place]
    store: Store
    keyring: Keyring
    now: datetime

    def take(self) -> tuple[dict[str, Service], set[str]]:
        """All services by name, and the names of records that wait for their line in the file. Raises StartError."""
        return _again(self._take)

    def declare(self) -> tuple[dict[str, Service], dict[str, str]]:
        """The declared services alone, in a gateway that runs; and of those that cannot be served the reason."""
        return _again(self._declare)

    def _declare(self) -> tuple[dict[str, Service], dict[str, str]]:
        records, keys = self._stored()
        services, failures = {}, {}
        for name, spec in self.declared.items():
            if name in records and records[name].origin == "api":
                failures[name] = "another replica's admin API made a service of this name"
                continue
            try:
                services[name] = self._declared(name, spec, records.get(name), keys.get(name, {}))
            except Refused as refused:
                failures[name] = self._located(name, refused)
        return self._completed(services), failures

    def _stored(self) -> tuple[dict[str, ServiceRecord], dict[str, dict[Slot, KeyRecord]]]:
        keys: dict[str, dict[Slot, KeyRecord]] = {}
        for key in self.store.keys():  # noqa: SIM118 - a store is no dict
            keys.setdefault(key.service, {})[key.slot] = key
        return {record.name: record for record in self.store.services()}, keys

    def _take(self) -> tuple[dict[str, Service], set[str]]:
        records, keys = self._stored()
        self._refuse_twins(records)
        services = {}
        for name, spec in self.declared.items():
            try:
                services[name] = self._declared(name, spec, records.get(name), keys.get(name, {}))
            except Refused as refused:
                raise StartError(self._located(name, refused)) from None
        for name, record in records.items():
            if record.origin == "api" and record.spec is not None:
                services[name] = Service(record=record, spec=record.spec, keys=keys.get(name, {}))
        self._refuse_shared_hosts(services)
        absent = {name for name, record in records.items() if record.origin == "file"} - self.declared.keys()
        if absent:
            log.info("not declared any more, their keys are kept: %s", ", ".join(sorted(absent)))
        return self._completed(services), absent

    def _completed(self, services: Mapping[str, Service]) -> dict[str, Service]:
        """With their named callers and revoked tokens."""
        callers: dict[str, dict[str, NamedCaller]] = {}
        for record in self.store.callers():
            if record.service in services:
                callers.setdefault(record.service, {})[record.name] = known(self.keyring, record, self.now)
        revoked: dict[str, list[RevocationRecord]] = {}
        for revocation in self.store.revocations():
            revoked.setdefault(revocation.service, []).append(revocation)
        return {
            name: replace(service, callers=callers.get(name, {}), revoked=tuple(revoked.get(name, ())))
            for name, service in services.items()
        }

    def _refuse_shared_hosts(self, services: Mapping[str, Service]) -> None:
        others = {name: service.spec for name, service in services.items() if name not in self.declared}
        for name, why in host_clashes(self.declared, others).items():
            how = "take it out there, or start without it and change the other first"
            raise StartError(f"{shown(self.places.get(name))}: services.{name}.hosts: {why}: {how}")

    def _declared(
        self, name: str, spec: ServiceSpec, record: ServiceRecord | None, keys: dict[Slot, KeyRecord]
    ) -> Service:
        if record is None:
            record = ServiceRecord(name=name, origin="file", spec=None, created_at=self.now, updated_at=self.now)
            keys = first_keys(self.keyring, name, spec, self.now)
            self._audited("put_service", name, self._place(name)).create_service(record, list(keys.values()))
        elif spec.key_auth and not keys:
            record = replace(record, version=record.version + 1, updated_at=self.now)
            keys = first_keys(self.keyring, name, spec, self.now)
            self._audited("put_service", name, self._place(name)).update_service(record, list(keys.values()))
        elif spec.key_auth and spec.keys is not None:
            keys = {slot: self._as_given(keys[slot], getattr(spec.keys, slot), spec) for slot in SLOTS}
        return Service(
            record=record,
            spec=without_secrets(spec),
            keys=keys,
            place=self.places.get(name),
            keys_in_file=spec.keys is not None,
        )

    def _as_given(self, record: KeyRecord, value: str, spec: ServiceSpec) -> KeyRecord:
        """The slot with the value of the file: a value that was changed there is a new version of the key."""
        if self.keyring.value(record) == settable(value, f"keys.{record.slot}"):
            return record
        changed = successor(self.keyring, record, spec, NewKey(value), self.now)
        self._audited("regenerate_key", record.service, f"{record.slot} {changed.id}").replace_key(changed)
        log.info(
            "the %s key of %s is another one in the configuration: %s takes the place of %s",
            record.slot,
            record.service,
            changed.id,
            record.id,
        )
        return changed

    def _audited(self, action: str, service: str, target: str) -> Store:
        """The store, which tells what is changed there because the file asks for it."""
        entry = AuditEntry(at=self.now, actor=CONFIGURATION, action=action, service=service, target=target)
        return self.store.audited(entry)

    def _place(self, name: str) -> str:
        return shown(self.places.get(name))

    def _refuse_twins(self, records: Mapping[str, ServiceRecord]) -> None:
        for name in self.declared:
            if name in records and records[name].origin == "api":
                made = f"{name} of the store, made by the admin API on {records[name].created_at:%Y-%m-%d}"
                how = "rename the one in the file, or start without it and delete the other first"
                where = shown(self.places.get(name))
                raise StartError(f"the service {name} in {where} has the name of the service {made}: {how}")

    def _located(self, name: str, refused: Refused) -> str:
        where = shown(self.places.get(name))
        if not refused.faults:
            return f"{where}: services.{name}: {refused.detail}"
        return f"{where}: services.{name}.{refused.faults[0].path} {refused.faults[0].reason}"


def _again(attempt: Callable[[], T]) -> T:
    """The result of an attempt that may lose against another replica. Raises Conflict when it always does."""
    for _ in range(1, ATTEMPTS):
        with contextlib.suppress(Conflict):
            return attempt()
    return attempt()
