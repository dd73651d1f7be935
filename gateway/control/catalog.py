"""The services of this replica, and the one road of every change.

Pure transition → saved → published → acknowledged by every worker → answered. Changes go one at a time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from gateway.control.caller import CallersChange
from gateway.control.difference import Difference, Specs, difference, host_clashes
from gateway.control.inventory import Inventory
from gateway.control.keyring import Keyring
from gateway.control.link import Acknowledged
from gateway.control.pair import NewKey, expiring, regenerated
from gateway.control.refusal import Fault, Refused
from gateway.control.revocation import newest_issue
from gateway.control.served import Prepared, Served
from gateway.control.service import Place, Service, created, require_keys, updated
from gateway.core.audit import AuditEntry
from gateway.core.record import SLOTS, CallerRecord, KeyRecord, Slot
from gateway.core.snapshot import ServiceEntry, Trust
from gateway.core.spec import ServiceSpec
from gateway.core.store import Conflict, Store, StoreError

SLICE_SECONDS = 0.002

Change = Callable[[Service | None], ServiceSpec]
"""Makes the spec that is asked for from the service as it is now. Raises Refused, for a failed precondition too."""
Transition = Callable[[Service], tuple[Service, Callable[[Store], None]]]
"""Makes the next state of a service, and says how it is saved. Raises Refused."""
Settle = Callable[[Iterable[ServiceSpec]], Awaitable[None]]
RANDOM = NewKey()
T = TypeVar("T")

log = logging.getLogger("gateway.control")


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
        served: Served,
        settle: Settle,
        settled: Callable[[], bool] = lambda: True,
    ) -> None:
        """`thread`: one thread, all store calls run there. `settle` waits for the first addresses of host names.

        `settled`: whether changes may be made yet.
        """
        self._store = store
        self._thread = thread
        self._keyring = keyring
        self._served = served
        self._settle = settle
        self._settled = settled
        self._lock = asyncio.Lock()
        self._absent: set[str] = set()
        self._last_tokens: dict[str, datetime] = {}

    @property
    def services(self) -> Mapping[str, Service]:
        """All services by name."""
        return self._served.services

    @property
    def is_settled(self) -> bool:
        """Whether changes may be made yet."""
        return self._settled()

    async def open(self, services: Mapping[str, Service], absent: set[str], trust: Trust) -> None:
        """Take over what there is at the start and publish it, giving the loop its turn. `absent`: see `inventory`."""
        await self._settle([service.spec for service in services.values()])
        until = time.perf_counter() + SLICE_SECONDS
        for name in sorted(services):
            self._served.show(self._served.prepare(services[name]))
            if time.perf_counter() > until:
                await asyncio.sleep(0)
                until = time.perf_counter() + SLICE_SECONDS
        self._absent = set(absent)
        await self._served.publish_all(trust)

    def get(self, name: str) -> Service:
        """The service. Raises Refused (404)."""
        service = self.services.get(name)
        if service is None:
            raise Refused(404, f"There is no service named {name}.")
        return service

    def entry(self, name: str) -> ServiceEntry:
        """The service as workers have it."""
        return self._served.entries[self.get(name).name]

    def keys(self, name: str) -> dict[Slot, tuple[str, KeyRecord]]:
        """Value and record of both keys. Raises Refused (404; 409 when no key opens the service)."""
        service = self.get(name)
        require_keys(service)
        return {slot: (self._keyring.value(service.keys[slot]), service.keys[slot]) for slot in SLOTS}

    def key(self, name: str, slot: Slot) -> KeyRecord:
        """The record of one key. Raises Refused as `keys` does."""
        service = self.get(name)
        require_keys(service)
        return service.keys[slot]

    def key_ids(self) -> set[str]:
        """The public ids of all keys, also of those in their grace."""
        known: list[KeyRecord | CallerRecord] = []
        for service in self.services.values():
            known += service.keys.values()
            known += [caller.record for caller in service.callers.values()]
        return {record.id for record in known} | {record.former.id for record in known if record.former is not None}

    # --- changes of an operator

    async def put(self, name: str, change: Change, audit: AuditEntry | None = None) -> tuple[Service, bool]:
        """Make or change a service. Returns it, and whether it is new. Raises Refused."""
        async with self._lock:
            before = self.services.get(name)
            spec = change(before)
            now = datetime.now(UTC)
            if before is None:
                # Tokens of a service that had this name a moment ago must be older than this one.
                after = created(self._keyring, name, spec, max(now, self._last_tokens.get(name, now)))
            else:
                after = updated(self._keyring, before, spec, now)
            self._require_free_hosts(after)
            acknowledged = await self._commit(after, self._save(before, after, audit))
            if name in acknowledged.kept_old:
                await self._take_back(before, after, acknowledged.kept_old[name], audit)
            return after, before is None

    async def delete(self, name: str, check: Callable[[Service], None], audit: AuditEntry | None = None) -> None:
        """Delete a service and its keys; `check` raises Refused for a failed precondition."""
        async with self._lock:
            service = self.get(name)
            check(service)
            if service.record.origin == "file":
                raise Refused(409, f"{name} is declared in {service.declared_at}: remove it there.")
            self._require_settled()
            await self._in_thread(lambda: self._audited(audit).delete_service(name))
            await self._served.publish((), (name,))
            self._remember_last_token(service)

    def _remember_last_token(self, service: Service) -> None:
        now = datetime.now(UTC)
        last = newest_issue(service, now.timestamp())
        self._last_tokens = {name: when for name, when in self._last_tokens.items() if when > now}
        self._last_tokens[service.name] = datetime.fromtimestamp(last, UTC) + timedelta(milliseconds=1)

    async def regenerate(
        self, name: str, slot: Slot, wanted: NewKey = RANDOM, audit: AuditEntry | None = None
    ) -> Regenerated:
        """Give a slot a new key; on return no worker accepts the old one but for its grace. Raises Refused."""
        async with self._lock:
            after, record = regenerated(self._keyring, self.get(name), slot, wanted, datetime.now(UTC))
            told = audit and replace(audit, target=f"{slot} {record.id}")
            acknowledged = await self._commit(after, lambda: self._audited(told).replace_key(record))
            return Regenerated(self._keyring.value(record), record, acknowledged)

    async def expire(
        self, name: str, slot: Slot, expires_at: datetime | None, audit: AuditEntry | None = None
    ) -> KeyRecord:
        """Let a key end then, or never; on return every worker knows. Raises Refused."""
        async with self._lock:
            after, record = expiring(self._keyring, self.get(name), slot, expires_at, datetime.now(UTC))
            await self._commit(after, lambda: self._audited(audit).replace_key(record))
            return record

    async def change_callers(
        self, name: str, change: Callable[[Service], CallersChange], audit: AuditEntry | None = None
    ) -> Acknowledged:
        """Change the named callers of a service; on return every worker serves the change. Raises Refused."""
        async with self._lock:
            service = self.get(name)
            made = change(service)
            self._require_settled()
            await self._in_thread(lambda: made.save(self._audited(audit)))
            return await self._served.publish_roster(replace(service, callers=made.callers), made.update)

    async def change(self, name: str, make: Transition, audit: AuditEntry | None = None) -> Acknowledged:
        """Any other change of a service; on return every worker serves it. Raises Refused."""
        async with self._lock:
            after, save = make(self.get(name))
            return await self._commit(after, lambda: save(self._audited(audit)))

    # --- changes from outside: the file, other replicas, and what host names lead to

    async def learn(self, read: Callable[[Store], T], changed: Callable[[T], Iterable[Service]]) -> None:
        """Serve what is in the store: `read` runs in its thread, `changed` says which services are others now.

        Raises Refused when the store does not answer.
        """
        async with self._lock:
            changes, failures = self._prepared(list(changed(await self._in_thread(lambda: read(self._store)))))
            if changes:
                failures |= await self._served.publish_many(changes)
        for name, why in failures.items():
            log.error("what the store says of %s cannot be served: %s", name, why)

    async def redeclare(self, before: Specs, after: Specs, places: Mapping[str, Place]) -> Difference:
        """Serve what the file declares now (`after`) where it declared `before`. A service that leaves keeps its keys.

        Returns what was done. Raises Refused when the store does not answer: repeat it then, nothing was published.
        """
        async with self._lock:
            self._require_settled()
            others = {name: one.spec for name, one in self.services.items() if one.record.origin == "api"}
            found = difference(before, after, others)
            found, changes = await self._declared(found, after, places)
            if changes or found.removed:
                found = found.without(await self._served.publish_many(changes, found.removed))
            self._absent = (self._absent | {*found.removed, *found.kept}) - self.services.keys()
            self._served.move(places)
            return found

    async def readdress(self) -> bool:
        """Serve the addresses that host names lead to now. Returns False when that should be tried again."""
        async with self._lock:
            changes, failures = self._prepared(self._served.outdated())
            if changes:
                failures |= await self._served.publish_many(changes)
        for name, why in failures.items():
            log.error("the new addresses of the backends of %s cannot be served: %s", name, why)
        return not failures

    async def _declared(
        self, found: Difference, after: Specs, places: Mapping[str, Place]
    ) -> tuple[Difference, list[Prepared]]:
        """Save what the store keeps of the wanted services, and prepare them; those that cannot be are kept."""
        declared = {name: after[name] for name in found.wanted}
        now = datetime.now(UTC)
        inventory = Inventory(declared=declared, places=places, store=self._store, keyring=self._keyring, now=now)
        services, failures = await self._in_thread(inventory.declare) if declared else ({}, {})
        await self._settle(declared.values())
        changes, full = self._prepared(services.values())
        failures |= full
        if failures:
            wanted = {one.service.name: one.service.spec for one in changes}
            failures |= host_clashes(wanted, {n: s for n, s in self._served.specs.items() if n not in found.removed})
        for one in changes:
            if one.service.name in failures:
                self._served.discard(one)
        return found.without(failures), [one for one in changes if one.service.name not in failures]

    def _prepared(self, services: Iterable[Service]) -> tuple[list[Prepared], dict[str, str]]:
        changes: list[Prepared] = []
        failures: dict[str, str] = {}
        for service in services:
            try:
                changes.append(self._served.prepare(service))
            except Refused as refused:
                failures[service.name] = refused.detail
        return changes, failures

    # --- how a change of an operator is made

    def _audited(self, audit: AuditEntry | None) -> Store:
        """The store; with an entry, which is written with whatever is done there, in one transaction."""
        return self._store if audit is None else self._store.audited(audit)

    def _save(self, before: Service | None, after: Service, audit: AuditEntry | None) -> Callable[[], None]:
        new = [] if before and before.keys else list(after.keys.values())
        if before is not None:
            return lambda: self._audited(audit).update_service(after.record, new)

        def create() -> None:
            if after.name in self._absent:
                left = audit and replace(audit, action="delete_service", target="left of the configuration")
                self._audited(left).delete_service(after.name)
            self._audited(audit).create_service(after.record, new)

        return create

    async def _commit(self, after: Service, save: Callable[[], None]) -> Acknowledged:
        """Save, publish, wait, show. From the moment it is saved it is also shown, whatever happens to the wait."""
        self._require_settled()
        await self._settle((after.spec,))
        prepared = self._served.prepare(after)
        try:
            await self._in_thread(save)
        except BaseException:
            self._served.discard(prepared)
            raise
        self._absent.discard(after.name)
        return await self._served.publish((prepared,))

    async def _take_back(self, before: Service | None, after: Service, reason: str, audit: AuditEntry | None) -> None:
        """Undo a change that the workers could not serve, and say why."""
        undo = self._audited(audit and replace(audit, result="taken back: the workers could not serve it"))
        if before is None:
            await self._in_thread(lambda: undo.delete_service(after.name))
            await self._served.publish((), (after.name,))
        else:
            record = replace(before.record, version=after.record.version + 1)
            undone = replace(before, record=record, keys=after.keys)
            await self._commit(undone, lambda: undo.update_service(record))
        detail = f"The workers could not serve this: {reason.rstrip('.')}. Nothing was changed."
        raise Refused(400, detail, (Fault("", reason),))

    def _require_free_hosts(self, after: Service) -> None:
        if after.spec.hosts:
            clash = host_clashes({after.name: after.spec}, self._served.specs).get(after.name)
            if clash:
                raise Refused(409, f"{after.name} cannot be served: {clash}.", (Fault("hosts", clash),))

    def _require_settled(self) -> None:
        if not self._settled():
            detail = "The gateway has just started and not all workers are connected yet: try again in a few seconds."
            raise Refused(503, detail, Retry_After="2")

    async def _in_thread(self, call: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call)
        except Conflict:
            raise Refused(409, "Somebody else changed it at the same moment: read it again and repeat.") from None
        except StoreError as error:
            raise Refused(503, f"The store does not answer, nothing was changed: {error}", Retry_After="5") from error
