"""The Store and HealthBoard protocols in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from gateway.core.record import DataKeyRecord, InstallationRecord, KeyRecord, ServiceRecord, SigningKeyRecord
from gateway.core.store import Conflict, StoreError


class MemoryStore:
    """The Store protocol on dicts. `broken`: every call fails from now on."""

    def __init__(self) -> None:
        self.founded: InstallationRecord | None = None
        self.data: dict[str, DataKeyRecord] = {}
        self.service: dict[str, ServiceRecord] = {}
        self.key: dict[tuple[str, str], KeyRecord] = {}
        self.signing: dict[str, SigningKeyRecord] = {}
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
        return self.service.pop(name, None) is not None

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

    def signing_keys(self) -> list[SigningKeyRecord]:
        return sorted(self.signing.values(), key=lambda record: record.created_at)

    def put_signing_keys(self, records: Iterable[SigningKeyRecord]) -> None:
        self.signing |= {record.kid: record for record in records}

    def delete_signing_key(self, kid: str) -> None:
        self.signing.pop(kid, None)

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

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a change of health makes it true."""
        async with asyncio.timeout(10):
            while not condition():
                self.turned.clear()
                await self.turned.wait()
