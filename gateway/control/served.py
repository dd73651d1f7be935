"""What is served now, and the way in which that changes: rows assigned, entry published, acknowledged, shown.

What readers see changes when the workers have it, so that nobody is shown a key that a worker does not accept yet.
Nothing here saves: `catalog` does that before, one change at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from gateway.control import revocation
from gateway.control.difference import host_clashes
from gateway.control.keyring import Keyring
from gateway.control.link import Acknowledged
from gateway.control.rows import Addresses, Assignment, Rows
from gateway.control.service import Place, Service
from gateway.core.record import SLOTS
from gateway.core.snapshot import RosterChange, ServiceEntry, Trust
from gateway.core.spec import ServiceSpec

UPDATE_SERVICES = 200
"""A worker has a second to acknowledge an update: one that names more services goes out in portions."""
UPDATE_CALLERS = 500


class Publisher(Protocol):
    """Takes changes to all workers: `link.Link`."""

    async def publish(
        self,
        *,
        services: tuple[ServiceEntry, ...] = (),
        rosters: tuple[RosterChange, ...] = (),
        removed: tuple[str, ...] = (),
        trust: Trust | None = None,
    ) -> Acknowledged:
        """Return once no worker serves what was before."""


class Watch(Protocol):
    """Follows what is served: `probes.Probes`, `resolver.Resolver`."""

    def follow(self, entry: ServiceEntry) -> None:
        """This is the service from now on."""

    def drop(self, name: str) -> None:
        """The service is gone."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A service as it is going to be served. Must be published or discarded, since it holds rows."""

    service: Service
    entry: ServiceEntry
    assignment: Assignment


class Served:
    """Services and their entries by name, in step with the workers."""

    def __init__(
        self, *, keyring: Keyring, rows: Rows, publisher: Publisher, watches: Sequence[Watch], addresses: Addresses
    ) -> None:
        self.services: dict[str, Service] = {}
        self.entries: dict[str, ServiceEntry] = {}
        self._keyring = keyring
        self._rows = rows
        self._publisher = publisher
        self._watches = watches
        self._addresses = addresses

    @property
    def specs(self) -> dict[str, ServiceSpec]:
        """Every service's spec, without secrets."""
        return {name: service.spec for name, service in self.services.items()}

    def prepare(self, service: Service, addresses: Addresses | None = None) -> Prepared:
        """Rows and entry. `addresses`: others than its host names lead to now. Raises Refused when rows run out."""
        assignment = self._rows.assign(service.name, service.spec, addresses or self._addresses)
        try:
            return Prepared(service, self._entry(service, assignment), assignment)
        except BaseException:
            self._rows.discard(assignment)
            raise

    def discard(self, prepared: Prepared) -> None:
        """The change came to nothing."""
        self._rows.discard(prepared.assignment)

    def show(self, prepared: Prepared) -> None:
        """This is what workers serve, or soon will."""
        name = prepared.service.name
        self.services[name] = prepared.service
        self.entries[name] = prepared.entry
        self._rows.keep(name, prepared.assignment, prepared.service.spec)
        for watch in self._watches:
            watch.follow(prepared.entry)

    async def publish(self, changes: Sequence[Prepared], removed: Sequence[str] = ()) -> Acknowledged:
        """One update to all workers. It is shown when this returns, whatever happened to the wait."""
        for prepared in changes:
            if prepared.service.name not in self.entries:
                for portion in _roster(prepared.service):
                    await self._publisher.publish(rosters=(portion,))
        entries = tuple(prepared.entry for prepared in changes)
        try:
            return await self._publisher.publish(services=entries, removed=tuple(removed))
        finally:
            for prepared in changes:
                self.show(prepared)
            for name in removed:
                self._hide(name)

    async def publish_roster(self, service: Service, change: RosterChange) -> Acknowledged:
        """A change of named callers, to all workers. `service` is shown when this returns."""
        try:
            return await self._publisher.publish(rosters=(change,))
        finally:
            self.services[service.name] = service

    async def publish_all(self, trust: Trust) -> None:
        """All that was shown, in one update: the first."""
        rosters = tuple(change for service in self.services.values() for change in _roster(service))
        await self._publisher.publish(services=tuple(self.entries.values()), rosters=rosters, trust=trust)

    async def publish_many(self, changes: Sequence[Prepared], removed: Sequence[str] = ()) -> dict[str, str]:
        """Any number of changes. Returns which of them came to nothing, and why: those are as they were before."""
        before = {one.service.name: self._state(one.service.name) for one in changes}
        refused: dict[str, str] = {}
        starts = range(0, len(changes), UPDATE_SERVICES) or (0,)
        for start in starts:
            portion = changes[start : start + UPDATE_SERVICES]
            refused |= (await self.publish(portion, removed if start == starts[-1] else ())).kept_old
        if refused:
            specs = {one.service.name: one.service.spec for one in changes if one.service.name not in refused}
            served = {name: state[0].spec for name, state in before.items() if state is not None}
            refused |= host_clashes(specs, served)
            await self._take_back({name: before[name] for name in refused})
        return refused

    def move(self, places: Mapping[str, Place]) -> None:
        """The services of the file stand there now."""
        for name, place in places.items():
            service = self.services.get(name)
            if service is not None and service.record.origin == "file" and service.place != place:
                self.services[name] = replace(service, place=place)

    def outdated(self) -> list[Service]:
        """Services some of whose host names lead elsewhere than when they were published."""
        return [service for service in self.services.values() if not self._leads_there(self.entries[service.name])]

    def _leads_there(self, entry: ServiceEntry) -> bool:
        return all(known == self._addresses(url) for url, known in _addresses_of(entry).items())

    def _state(self, name: str) -> tuple[Service, ServiceEntry] | None:
        service = self.services.get(name)
        return None if service is None else (service, self.entries[name])

    async def _take_back(self, before: Mapping[str, tuple[Service, ServiceEntry] | None]) -> None:
        """Undo changes of which a worker could not serve one: another may have taken over a host of it."""
        changes = []
        for name, state in before.items():
            if state is not None:
                service, entry = state
                # What was saved stays saved: a key that was replaced in the store, a pair that was made.
                now = self.services[name]
                service = replace(service, record=now.record, keys=now.keys or service.keys)
                changes.append(self.prepare(service, _addresses_of(entry).__getitem__))
        await self.publish(changes, [name for name, state in before.items() if state is None])

    def _hide(self, name: str) -> None:
        del self.services[name], self.entries[name]
        for watch in self._watches:
            watch.drop(name)
        self._rows.drop(name)

    def _entry(self, service: Service, assignment: Assignment) -> ServiceEntry:
        keys = service.keys if service.spec.key_auth else {}
        return ServiceEntry(
            name=service.name,
            spec=service.spec,
            keys=tuple(self._keyring.entry(keys[slot]) for slot in SLOTS if slot in keys),
            deployments=assignment.deployments,
            born=float(service.born),
            revoked=revocation.entry(service.revoked),
        )


def _roster(service: Service) -> Iterator[RosterChange]:
    """All named callers of a service, in portions."""
    callers = tuple(caller.entry for caller in service.callers.values())
    for start in range(0, len(callers), UPDATE_CALLERS):
        yield RosterChange(service=service.name, callers=callers[start : start + UPDATE_CALLERS])


def _addresses_of(entry: ServiceEntry) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for deployment in entry.deployments:
        for backend in deployment.backends:
            found.setdefault(backend.url, {})[backend.address] = None
    return {url: tuple(filter(None, addresses)) for url, addresses in found.items()}
