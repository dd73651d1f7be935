"""Reads the configuration again while the gateway runs: when its files change, and when SIGHUP asks for it.

What it changes is worked out in `difference` and done by `catalog`. The last configuration that could be read stays in
force when the next cannot; a service that cannot be served as the file says stays as it is.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from gateway.control.catalog import Catalog
from gateway.control.difference import Difference, fingerprint, needs_restart
from gateway.control.refusal import Refused
from gateway.control.service import Place
from gateway.core.settings import Settings
from gateway.core.spec import ServiceSpec

LOOK_SECONDS = 1.0
RETRY_SECONDS = 5.0

log = logging.getLogger("gateway.control")


class Configuration(Protocol):
    """What was read: `config.Loaded`. The texts of `warnings` are for a person."""

    @property
    def settings(self) -> Settings:
        """All of it; paths are absolute."""

    @property
    def places(self) -> Mapping[str, Place]:
        """Where the services stand."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is worth a look."""


C = TypeVar("C", bound=Configuration)


class Source(Protocol[C]):
    """Where the configuration comes from: `config.Source`."""

    @property
    def name(self) -> str:
        """The file, as a person knows it."""

    def changed(self) -> bool:
        """Whether its files are others than at the last `read`, and at rest."""

    def read(self) -> C:
        """Read it again; blocks. Raises ValueError with a line for each mistake."""

    def keep(self, configuration: C, services: Mapping[str, ServiceSpec]) -> None:
        """These services of what was read are served: a control process that replaces this one begins with them."""


class Status:
    """How the last reload went, for the metrics. Times are Unix seconds."""

    def __init__(self, settings: Settings) -> None:
        self.reloads = {"success": 0, "failure": 0}
        self.is_successful = True
        self.succeeded_at = time.time()
        self.kept: tuple[str, ...] = ()
        self.hash = fingerprint(settings)

    def note(self, *, success: bool) -> None:
        """A reload has ended."""
        self.reloads["success" if success else "failure"] += 1
        self.is_successful = success
        if success:
            self.succeeded_at = time.time()


class Reloader:
    """Reloads until cancelled. `started`: the settings of the processes; their services are what is served at first.

    `told`: called with each difference that a reload made, and the hash of what is served since.
    """

    def __init__(
        self,
        source: Source[Any],
        catalog: Catalog,
        started: Settings,
        status: Status,
        told: Callable[[Difference, str], None],
    ) -> None:
        self._source = source
        self._catalog = catalog
        self._started = started
        self._services: Mapping[str, ServiceSpec] = started.services
        self._status = status
        self._trouble = ""
        self._told = told

    async def run(self, asked: asyncio.Event, seconds: float = LOOK_SECONDS) -> None:
        """Look at the files every so many seconds. `asked`: set for a reload at once, changed or not."""
        is_due = False
        while True:
            try:
                async with asyncio.timeout(RETRY_SECONDS if is_due else seconds):
                    await asked.wait()
            except TimeoutError:
                pass
            is_due = is_due or asked.is_set() or self._source.changed()
            asked.clear()
            if is_due and self._catalog.is_settled:
                is_due = not await self._attempt()

    async def reload(self) -> bool:
        """Read and serve. Returns False when the store did not answer: then nothing was changed; repeat it."""
        try:
            configuration = await asyncio.to_thread(self._source.read)
        except ValueError as error:
            self._fail(str(error))
            return True
        try:
            declared = configuration.settings.services
            found = await self._catalog.redeclare(self._services, declared, configuration.places)
        except Refused as refused:
            if refused.detail != self._trouble:
                self._fail(refused.detail)
            self._trouble = refused.detail
            return False
        await self._succeeded(configuration, found)
        return True

    async def _attempt(self) -> bool:
        try:
            return await self.reload()
        except Exception:
            log.exception("the reload of %s failed by an error of the gateway", self._source.name)
            self._status.note(success=False)
            return True

    def _fail(self, why: str) -> None:
        self._status.note(success=False)
        log.error("%s is not served, the configuration before it stays in force: %s", self._source.name, why)

    async def _succeeded(self, configuration: Configuration, found: Difference) -> None:
        self._trouble = ""
        declared, before = configuration.settings.services, self._services
        kept = {name: before[name] for name in found.kept if name in before}
        self._services = {name: spec for name, spec in declared.items() if name not in found.kept} | kept
        self._tell(configuration, found)
        self._status.kept = tuple(found.kept)
        self._status.note(success=not found.kept)
        await asyncio.to_thread(self._note_what_is_served, configuration)
        if found.wanted or found.removed or found.kept:
            self._told(found, self._status.hash)

    def _note_what_is_served(self, configuration: Configuration) -> None:
        self._source.keep(configuration, self._services)
        self._status.hash = fingerprint(_with_services(self._started, self._services))

    def _tell(self, configuration: Configuration, found: Difference) -> None:
        name = self._source.name
        for warning in configuration.warnings:
            log.warning("%s", warning)
        for service, why in found.kept.items():
            log.error("%s: services.%s is not served as the file says: %s", name, service, why)
        keys = needs_restart(self._started, configuration.settings)
        if keys:
            log.warning("%s: changed, but needs a restart: %s", name, ", ".join(keys))
        log.info("%s was read again: %s", name, found)


def _with_services(settings: Settings, services: Mapping[str, ServiceSpec]) -> Settings:
    return replace(settings, services=dict(services))
