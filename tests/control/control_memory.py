"""The Store and HealthBoard protocols in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from gateway.core.audit import AuditEntry, AuditQuery
from gateway.core.ejection import IN, SUSPECT
from gateway.core.record import (
    CallerRecord,
    DataKeyRecord,
    InstallationRecord,
    KeyRecord,
    KeyUseRecord,
    RevocationRecord,
    ServiceRecord,
    SigningKeyRecord,
)
from gateway.core.store import Conflict, StoreError


class Audited:
    """A MemoryStore whose calls add an entry to the audit log when they change something."""

    def __init__(self, store: MemoryStore, entry: AuditEntry) -> None:
        self._store = store
        self._entry = entry

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            result = getattr(self._store, name)(*arguments, **named)
            if result is not False:
                self._store.add_audit([self._entry])
            return result

        return call


class MemoryStore:
    """The Store protocol on dicts. `broken`: every call fails from now on."""

    def __init__(self) -> None:
        self.founded: InstallationRecord | None = None
        self.data: dict[str, DataKeyRecord] = {}
        self.service: dict[str, ServiceRecord] = {}
        self.key: dict[tuple[str, str], KeyRecord] = {}
        self.caller: dict[tuple[str, str], CallerRecord] = {}
        self.signing: dict[str, SigningKeyRecord] = {}
        self.revoked: dict[tuple[str, str, str], RevocationRecord] = {}
        self.entries: list[AuditEntry] = []
        self.uses: dict[tuple[str, int], KeyUseRecord] = {}
        self.broken = False
        self.closed = False

    def _check(self) -> None:
        if self.broken:
            raise StoreError("the store in memory is broken by the test")

    def installation(self) -> InstallationRecord | None:
        self._check()
        return self.founded

    def found(self, installation: InstallationRecord, data_key: DataKeyRecord) -> None:
        if self.founded is not None:
            raise Conflict
        self.founded, self.data = installation, {data_key.id: data_key}

    def data_keys(self) -> list[DataKeyRecord]:
        return list(self.data.values())

    def put_data_keys(self, records: Iterable[DataKeyRecord]) -> None:
        self._check()
        self.data |= {record.id: record for record in records}

    def services(self) -> list[ServiceRecord]:
        return [self.service[name] for name in sorted(self.service)]

    def create_service(self, record: ServiceRecord, keys: Iterable[KeyRecord]) -> None:
        self._check()
        if record.name in self.service:
            raise Conflict
        self.service[record.name] = record
        self._insert(keys)

    def update_service(self, record: ServiceRecord, keys: Iterable[KeyRecord] = ()) -> None:
        self._check()
        if record.name not in self.service or self.service[record.name].version != record.version - 1:
            raise Conflict
        self.service[record.name] = record
        self._insert(keys)

    def delete_service(self, name: str) -> bool:
        self._check()
        self.key = {place: record for place, record in self.key.items() if place[0] != name}
        self.caller = {place: record for place, record in self.caller.items() if place[0] != name}
        self.revoked = {place: record for place, record in self.revoked.items() if place[0] != name}
        return self.service.pop(name, None) is not None

    def callers(self) -> list[CallerRecord]:
        self._check()
        return list(self.caller.values())

    def create_caller(self, record: CallerRecord) -> None:
        self._check()
        if record.service not in self.service or (record.service, record.name) in self.caller:
            raise Conflict
        self.caller[record.service, record.name] = record

    def replace_caller(self, record: CallerRecord) -> None:
        self._check()
        before = self.caller.get((record.service, record.name))
        if before is None or before.version != record.version - 1:
            raise Conflict
        self.caller[record.service, record.name] = record

    def delete_caller(self, service: str, name: str) -> bool:
        self._check()
        return self.caller.pop((service, name), None) is not None

    def keys(self) -> list[KeyRecord]:
        return list(self.key.values())

    def key_pair(self, service: str) -> dict[Any, KeyRecord]:
        return {record.slot: record for record in self.key.values() if record.service == service}

    def replace_key(self, record: KeyRecord) -> None:
        self._check()
        before = self.key.get((record.service, record.slot))
        if before is None or before.version != record.version - 1:
            raise Conflict
        self.key[record.service, record.slot] = record

    def key_uses(self, since_hour: int) -> list[KeyUseRecord]:
        return [record for record in self.uses.values() if record.hour >= since_hour]

    def add_key_uses(self, records: Iterable[KeyUseRecord]) -> None:
        self._check()
        for one in records:
            if one.service in self.service:
                before = self.uses.get((one.key_id, one.hour), replace(one, uses=0))
                last = max(before.last_used, one.last_used)
                self.uses[one.key_id, one.hour] = replace(one, uses=before.uses + one.uses, last_used=last)

    def forget_key_uses(self, before_hour: int) -> None:
        self._check()
        self.uses = {place: one for place, one in self.uses.items() if one.hour >= before_hour}

    def signing_keys(self) -> list[SigningKeyRecord]:
        self._check()
        return sorted(self.signing.values(), key=lambda record: record.created_at)

    def change_signing_keys(self, before: Iterable[SigningKeyRecord], after: Iterable[SigningKeyRecord]) -> None:
        self._check()
        if {(key.kid, key.state) for key in before} != {(key.kid, key.state) for key in self.signing.values()}:
            raise Conflict
        self.signing = {record.kid: record for record in after}

    def revocations(self) -> list[RevocationRecord]:
        self._check()
        return list(self.revoked.values())

    def revoke(self, record: RevocationRecord) -> None:
        self._check()
        if not record.token_id and not record.subject:
            self.revoked = {place: one for place, one in self.revoked.items() if place[0] != record.service}
        self.revoked[record.service, record.token_id, record.subject] = record

    def forget_revocations(self, until: datetime) -> None:
        self._check()
        self.revoked = {place: one for place, one in self.revoked.items() if one.until > until}

    def audited(self, entry: AuditEntry) -> Any:
        return Audited(self, entry)

    def add_audit(self, entries: Iterable[AuditEntry]) -> None:
        self._check()
        self.entries += [replace(entry, id=number) for number, entry in enumerate(entries, len(self.entries) + 1)]

    def audit(self, wanted: AuditQuery) -> Sequence[AuditEntry]:
        self._check()
        columns = {"actor": wanted.actor, "service": wanted.service, "action": wanted.action}
        asked = {name: value for name, value in columns.items() if value is not None}
        found = [entry for entry in self.entries if entry.id > wanted.after]
        found = [entry for entry in found if all(getattr(entry, name) == value for name, value in asked.items())]
        return found[-wanted.limit :] if wanted.newest else found[: wanted.limit]

    def ping(self) -> None:
        self._check()

    def close(self) -> None:
        self.closed = True

    def _insert(self, keys: Iterable[KeyRecord]) -> None:
        for record in keys:
            if (record.service, record.slot) in self.key:
                raise Conflict
            self.key[record.service, record.slot] = record


class MemoryBoard:
    """The HealthBoard protocol on dicts."""

    def __init__(self, size: int = 1000) -> None:
        self.size = size
        self.owners: dict[int, str] = {}
        self.down: set[int] = set()
        self.busy: dict[int, int] = {}
        self.answers: dict[int, int] = {}
        self.standings: dict[int, tuple[int, float]] = {}
        self.wakeup: int | None = None
        self.turned = asyncio.Event()

    def lend_row(self, owner: str) -> int:
        for row, known in self.owners.items():
            if known == owner:
                return row
        for row in range(self.size):
            if row not in self.owners:
                self.owners[row] = owner
                self.down.discard(row)
                return row
        raise RuntimeError("all rows are lent")

    def release_row(self, row: int) -> None:
        del self.owners[row]

    def set_healthy(self, row: int, healthy: bool) -> None:
        (self.down.discard if healthy else self.down.add)(row)
        self.turned.set()

    def healthy(self, row: int) -> bool:
        return row not in self.down

    def outstanding(self, row: int) -> int:
        return self.busy.get(row, 0)

    def served(self, row: int) -> int:
        return self.answers.get(row, 0)

    def standing(self, row: int) -> int:
        return self.standings.get(row, (IN,))[0]

    def since(self, row: int) -> float:
        return self.standings.get(row, (IN, 0.0))[1]

    def absolve(self, row: int) -> None:
        if self.standing(row) == SUSPECT:
            del self.standings[row]
        self.turned.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a change of health makes it true."""
        async with asyncio.timeout(10):
            while not condition():
                self.turned.clear()
                await self.turned.wait()
