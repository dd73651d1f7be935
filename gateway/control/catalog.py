"""The services of this replica, and the one road of every change.

Pure transition → saved → published → acknowledged by every worker → answered. Changes go one at a time. What readers
see changes when the workers have it, so that nobody is shown a key that a worker does not accept yet.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from gateway.control.keyring import Keyring
from gateway.control.link import Acknowledged
from gateway.control.refusal import Fault, Refused
from gateway.control.rows import Assignment, Rows
from gateway.control.service import Service, created, regenerated, require_keys, updated
from gateway.core.record import SLOTS, KeyRecord, Slot
from gateway.core.snapshot import ServiceEntry, Trust
from gateway.core.spec import ServiceSpec
from gateway.core.store import Conflict, Store, StoreError

SLICE_SECONDS = 0.002

Change = Callable[[Service | None], ServiceSpec]
"""Makes the spec that is asked for from the service as it is now. Raises Refused, for a failed precondition too."""


class Publisher(Protocol):
    """Takes changes to all workers: `link.Link`."""

    async def publish(
        self, *, services: tuple[ServiceEntry, ...] = (), removed: tuple[str, ...] = (), trust: Trust | None = None
    ) -> Acknowledged:
        """Return once no worker serves what was before."""


class Watch(Protocol):
    """Keeps an eye on backends: `probes.Probes`."""

    def follow(self, entry: ServiceEntry) -> None:
        """Probe these backends of the service, and no others."""

    def drop(self, name: str) -> None:
        """The service is gone."""


@dataclass(frozen=True, slots=True)
class Regenerated:
    """A new key, its record, and who serves it."""

    value: str
    record: KeyRecord
    acknowledged: Acknowledged


class Catalog:
    """Reads are plain look-ups; changes are coroutines that return when every worker serves them."""

    def __init__(
        self,
        *,
        store: Store,
        thread: Executor,
        keyring: Keyring,
        rows: Rows,
        publisher: Publisher,
        watch: Watch,
        settled: Callable[[], bool] = lambda: True,
    ) -> None:
        """`thread`: one thread, all store calls run there. `settled`: whether changes may be made yet."""
        self._store = store
        self._thread = thread
        self._keyring = keyring
        self._rows = rows
        self._publisher = publisher
        self._watch = watch
        self._settled = settled
        self._lock = asyncio.Lock()
        self._services: dict[str, Service] = {}
        self._entries: dict[str, ServiceEntry] = {}
        self._absent: set[str] = set()

    @property
    def services(self) -> Mapping[str, Service]:
        """All services by name."""
        return self._services

    async def open(self, services: Mapping[str, Service], absent: set[str], trust: Trust) -> None:
        """Take over what there is at the start and publish it, giving the loop its turn. `absent`: see `inventory`."""
        until = time.perf_counter() + SLICE_SECONDS
        for name in sorted(services):
            service = services[name]
            assignment = self._rows.assign(name, service.spec)
            self._show(service, self._entry(service, assignment), assignment)
            if time.perf_counter() > until:
                await asyncio.sleep(0)
                until = time.perf_counter() + SLICE_SECONDS
        self._absent = set(absent)
        await self._publisher.publish(services=tuple(self._entries.values()), trust=trust)

    def get(self, name: str) -> Service:
        """The service. Raises Refused (404)."""
        service = self._services.get(name)
        if service is None:
            raise Refused(404, f"There is no service named {name}.")
        return service

    def entry(self, name: str) -> ServiceEntry:
        """The service as workers have it."""
        return self._entries[self.get(name).name]

    def keys(self, name: str) -> dict[Slot, tuple[str, KeyRecord]]:
        """Value and record of both keys. Raises Refused (404; 409 when no key opens the service)."""
        service = self.get(name)
        require_keys(service)
        return {slot: (self._keyring.value(service.keys[slot]), service.keys[slot]) for slot in SLOTS}

    async def put(self, name: str, change: Change) -> tuple[Service, bool]:
        """Make or change a service. Returns it, and whether it is new. Raises Refused."""
        async with self._lock:
            before = self._services.get(name)
            spec = change(before)
            now = datetime.now(UTC)
            if before is None:
                after = created(self._keyring, name, spec, now)
            else:
                after = updated(self._keyring, before, spec, now)
            acknowledged = await self._commit(after, self._save(before, after))
            if name in acknowledged.kept_old:
                await self._take_back(before, after, acknowledged.kept_old[name])
            return after, before is None

    async def delete(self, name: str, check: Callable[[Service], None]) -> None:
        """Delete a service and its keys; `check` raises Refused for a failed precondition."""
        async with self._lock:
            service = self.get(name)
            check(service)
            if service.record.origin == "file":
                detail = f"{name} is declared in {service.declared_at}: remove it there and restart."
                raise Refused(409, detail)
            self._require_settled()
            await self._in_thread(lambda: self._store.delete_service(name))
            await self._withdraw(name)

    async def regenerate(self, name: str, slot: Slot, value: str | None = None) -> Regenerated:
        """Give a slot a new key; on return no worker accepts the old one. Raises Refused."""
        async with self._lock:
            after, record = regenerated(self._keyring, self.get(name), slot, value, datetime.now(UTC))
            acknowledged = await self._commit(after, lambda: self._store.replace_key(record))
            return Regenerated(self._keyring.value(record), record, acknowledged)

    def _save(self, before: Service | None, after: Service) -> Callable[[], None]:
        new = [] if before and before.keys else list(after.keys.values())
        if before is not None:
            return lambda: self._store.update_service(after.record, new)

        def create() -> None:
            if after.name in self._absent:
                self._store.delete_service(after.name)
            self._store.create_service(after.record, new)

        return create

    async def _commit(self, after: Service, save: Callable[[], None]) -> Acknowledged:
        """Save, publish, wait, show. From the moment it is saved it is also shown, whatever happens to the wait."""
        self._require_settled()
        assignment = self._rows.assign(after.name, after.spec)
        try:
            entry = self._entry(after, assignment)
            await self._in_thread(save)
        except BaseException:
            self._rows.discard(assignment)
            raise
        self._absent.discard(after.name)
        try:
            return await self._publisher.publish(services=(entry,))
        finally:
            self._show(after, entry, assignment)

    async def _take_back(self, before: Service | None, after: Service, reason: str) -> None:
        """Undo a change that the workers could not serve, and say why."""
        if before is None:
            await self._in_thread(lambda: self._store.delete_service(after.name))
            await self._withdraw(after.name)
        else:
            record = replace(before.record, version=after.record.version + 1)
            undone = replace(before, record=record, keys=after.keys)
            await self._commit(undone, lambda: self._store.update_service(record))
        detail = f"The workers could not serve this: {reason.rstrip('.')}. Nothing was changed."
        raise Refused(400, detail, (Fault("", reason),))

    async def _withdraw(self, name: str) -> None:
        try:
            await self._publisher.publish(removed=(name,))
        finally:
            del self._services[name], self._entries[name]
            self._watch.drop(name)
            self._rows.drop(name)

    def _show(self, service: Service, entry: ServiceEntry, assignment: Assignment) -> None:
        self._services[service.name] = service
        self._entries[service.name] = entry
        self._rows.keep(service.name, assignment, service.spec)
        self._watch.follow(entry)

    def _entry(self, service: Service, assignment: Assignment) -> ServiceEntry:
        keys = service.keys if service.spec.key_auth else {}
        return ServiceEntry(
            name=service.name,
            spec=service.spec,
            keys=tuple(self._keyring.entry(keys[slot]) for slot in SLOTS if slot in keys),
            deployments=assignment.deployments,
            born=float(service.born),
        )

    def _require_settled(self) -> None:
        if not self._settled():
            detail = "The gateway has just started and not all workers are connected yet: try again in a few seconds."
            raise Refused(503, detail, Retry_After="2")

    async def _in_thread(self, call: Callable[[], object]) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, call)
        except Conflict:
            raise Refused(409, "Somebody else changed it at the same moment: read it again and repeat.") from None
        except StoreError as error:
            raise Refused(503, f"The store does not answer, nothing was changed: {error}", Retry_After="5") from error
