"""Which services there are when the control process starts: those of the file, and those of the store. Blocks.

A service of the file keeps its spec there; the store keeps its keys, and when it was made. One that left the file keeps
its record, so that a line commented out for an hour costs nobody a key.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from gateway.control.keyring import Keyring, settable
from gateway.control.refusal import Refused, StartError
from gateway.control.service import Place, Service, first_keys, shown, without_secrets
from gateway.core.record import SLOTS, KeyRecord, ServiceRecord, Slot
from gateway.core.spec import ServiceSpec
from gateway.core.store import Conflict, Store

ATTEMPTS = 3
"""Replicas that start together on one store write the same first records: who loses reads again."""

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
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._take()
            except Conflict:
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError

    def _take(self) -> tuple[dict[str, Service], set[str]]:
        records = {record.name: record for record in self.store.services()}
        self._refuse_twins(records)
        keys: dict[str, dict[Slot, KeyRecord]] = {}
        for key in self.store.keys():  # noqa: SIM118 - a store is no dict
            keys.setdefault(key.service, {})[key.slot] = key
        services = {}
        for name, spec in self.declared.items():
            try:
                services[name] = self._declared(name, spec, records.get(name), keys.get(name, {}))
            except Refused as refused:
                raise StartError(self._located(name, refused)) from None
        for name, record in records.items():
            if record.origin == "api" and record.spec is not None:
                services[name] = Service(record=record, spec=record.spec, keys=keys.get(name, {}))
        absent = {name for name, record in records.items() if record.origin == "file"} - self.declared.keys()
        if absent:
            log.info("not declared any more, their keys are kept: %s", ", ".join(sorted(absent)))
        return services, absent

    def _declared(
        self, name: str, spec: ServiceSpec, record: ServiceRecord | None, keys: dict[Slot, KeyRecord]
    ) -> Service:
        if record is None:
            record = ServiceRecord(name=name, origin="file", spec=None, created_at=self.now, updated_at=self.now)
            keys = first_keys(self.keyring, name, spec, self.now)
            self.store.create_service(record, list(keys.values()))
        elif spec.key_auth and not keys:
            record = replace(record, version=record.version + 1, updated_at=self.now)
            keys = first_keys(self.keyring, name, spec, self.now)
            self.store.update_service(record, list(keys.values()))
        elif spec.key_auth and spec.keys is not None:
            keys = {slot: self._as_given(keys[slot], getattr(spec.keys, slot)) for slot in SLOTS}
        return Service(
            record=record,
            spec=without_secrets(spec),
            keys=keys,
            place=self.places.get(name),
            keys_in_file=spec.keys is not None,
        )

    def _as_given(self, record: KeyRecord, value: str) -> KeyRecord:
        """The slot with the value of the file: a value that was changed there is a new version of the key."""
        if self.keyring.value(record) == settable(value, f"keys.{record.slot}"):
            return record
        changed = self.keyring.seal(record.service, record.slot, record.version + 1, value, self.now)
        self.store.replace_key(changed)
        return changed

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
