"""The named callers of every service: reads are look-ups, changes go the one road of `catalog`.

What becomes of a caller is worked out in `caller`. Only the caller that changes travels to the workers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from gateway.control import caller
from gateway.control.caller import CallersChange, NamedCaller
from gateway.control.catalog import Catalog
from gateway.control.keyring import Keyring
from gateway.control.link import Acknowledged
from gateway.control.refusal import Fault, Refused
from gateway.control.service import Service, expiry, require_keys
from gateway.core.audit import AuditEntry
from gateway.core.caller import CallerSpec
from gateway.core.snapshot import RosterChange

Made = tuple[NamedCaller, Acknowledged]
"""A caller as it is now, and who serves it."""


class Callers:
    """Raises Refused (404) for a service and for a caller that there is not."""

    def __init__(self, catalog: Catalog, keyring: Keyring) -> None:
        self._catalog = catalog
        self._keyring = keyring

    def of(self, service: str) -> Mapping[str, NamedCaller]:
        """All callers of a service by name."""
        return self._catalog.get(service).callers

    def get(self, service: str, name: str) -> NamedCaller:
        """One caller."""
        return _found(self._catalog.get(service), name)

    def value(self, one: NamedCaller) -> str:
        """Its key."""
        return caller.value(self._keyring, one.record)

    async def create(self, service: str, name: str, spec: CallerSpec, audit: AuditEntry | None = None) -> Made:
        """A new caller with a random key; it expires as the service's keys do if nothing else is asked for.

        Refused (409) if there is one of this name, and where no key opens.
        """
        made: list[NamedCaller] = []

        def change(before: Service) -> CallersChange:
            require_keys(before)
            if name in before.callers:
                reason = f"{service} has a caller of this name already"
                raise Refused(409, f"{reason}: revoke it first, or take another name.", (Fault("name", reason),))
            now = datetime.now(UTC)
            asked = replace(spec, expires_at=spec.expires_at or expiry(before.spec, now))
            one = caller.created(self._keyring, service, name, asked, now)
            made.append(one)
            return CallersChange(_with(before, one), _told(one), lambda store: store.create_caller(one.record))

        acknowledged = await self._catalog.change_callers(service, change, audit)
        return made[0], acknowledged

    async def change(
        self, service: str, name: str, respec: Callable[[CallerSpec], CallerSpec], audit: AuditEntry | None = None
    ) -> Made:
        """Other verbs, limits, expiry; the same key."""

        def step(before: NamedCaller) -> NamedCaller:
            return caller.changed(before, respec(before.record.spec), datetime.now(UTC))

        return await self._replace(service, name, step, audit)

    async def regenerate(
        self, service: str, name: str, grace_seconds: int | None, audit: AuditEntry | None = None
    ) -> Made:
        """Another key; the one before opens for so long (None: as the service is configured).

        Refused (409) for one that has expired.
        """

        def step(before: NamedCaller) -> NamedCaller:
            grace = self._catalog.get(service).spec.key_grace_seconds if grace_seconds is None else grace_seconds
            return caller.regenerated(self._keyring, before, grace, datetime.now(UTC))

        return await self._replace(service, name, step, audit)

    async def revoke(self, service: str, name: str, audit: AuditEntry | None = None) -> None:
        """Forget a caller. On return no worker accepts a key of it."""

        def change(before: Service) -> CallersChange:
            _found(before, name)
            left = {known: one for known, one in before.callers.items() if known != name}
            update = RosterChange(service=service, gone=(name,))
            return CallersChange(left, update, lambda store: store.delete_caller(service, name))

        await self._catalog.change_callers(service, change, audit)

    async def _replace(
        self, service: str, name: str, step: Callable[[NamedCaller], NamedCaller], audit: AuditEntry | None
    ) -> Made:
        made: list[NamedCaller] = []

        def change(before: Service) -> CallersChange:
            one = step(_found(before, name))
            made.append(one)
            return CallersChange(_with(before, one), _told(one), lambda store: store.replace_caller(one.record))

        acknowledged = await self._catalog.change_callers(service, change, audit)
        return made[0], acknowledged


def _found(service: Service, name: str) -> NamedCaller:
    one = service.callers.get(name)
    if one is None:
        raise Refused(404, f"{service.name} has no caller named {name}.")
    return one


def _with(service: Service, one: NamedCaller) -> dict[str, NamedCaller]:
    return {**service.callers, one.name: one}


def _told(one: NamedCaller) -> RosterChange:
    return RosterChange(service=one.record.service, callers=(one.entry,))
