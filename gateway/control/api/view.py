"""Services as JSON: what was asked for, where it is called, how it is. Secrets never."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import TypeAdapter

from gateway.control.catalog import Catalog
from gateway.control.probes import Probes, State
from gateway.control.service import Service
from gateway.control.tally import Series
from gateway.control.uri import Addresses, scoring_path, swagger_path
from gateway.control.uses import Use
from gateway.core import meter
from gateway.core.ejection import OUT
from gateway.core.scoreboard import HealthBoard
from gateway.core.snapshot import BackendEntry, DeploymentEntry, ServiceEntry
from gateway.core.spec import ServiceSpec

SPEC = TypeAdapter(ServiceSpec)
BackendState = State | Literal["Ejected"]
_TELLING = re.compile(r"auth|cookie|key|token|secret|password", re.IGNORECASE)


def moment(when: datetime) -> str:
    """RFC 3339 in UTC, with milliseconds."""
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def second(unix: int) -> str:
    """RFC 3339 in UTC, of Unix seconds."""
    return datetime.fromtimestamp(unix, UTC).isoformat().replace("+00:00", "Z")


def used(use: Use) -> dict[str, object]:
    """When and how often a key was used."""
    return {"last_used_at": use.last_used_at and moment(use.last_used_at), "uses_24h": use.uses_24h}


def as_configured(spec: ServiceSpec) -> dict[str, Any]:
    """The block of a service as JSON, without `keys`."""
    block: dict[str, Any] = SPEC.dump_python(spec, mode="json", exclude={"keys"})
    return block


class View:
    """Makes the documents of the API and the pages."""

    def __init__(self, catalog: Catalog, probes: Probes, board: HealthBoard, addresses: Addresses) -> None:
        self._catalog = catalog
        self._probes = probes
        self._board = board
        self._addresses = addresses

    def service(self, service: Service, headers: Mapping[str, str]) -> dict[str, Any]:
        """The service for a caller with these headers."""
        block = as_configured(service.spec)
        block["request_headers"]["set"] = {
            name: None if _TELLING.search(name) else value for name, value in block["request_headers"]["set"].items()
        }
        return {
            "name": service.name,
            **block,
            "auth_enabled": service.spec.key_auth,
            "token_auth_enabled": service.spec.token_auth,
            **self.uris(service, headers),
            "state": self.state(service),
            "origin": service.record.origin,
            "created_at": moment(service.record.created_at),
            "updated_at": moment(service.record.updated_at),
        }

    def uris(self, service: Service, headers: Mapping[str, str]) -> dict[str, str | None]:
        """`scoring_uri` and `swagger_uri`."""
        base, swagger = self._addresses.base(headers), swagger_path(service)
        return {
            "scoring_uri": base + scoring_path(service),
            "swagger_uri": None if swagger is None else base + swagger,
        }

    def state(self, service: Service) -> State:
        """Healthy when a backend that gets traffic is; Transitioning while none is and not all were asked."""
        entry = self._catalog.entry(service.name)
        states = [self._state(entry.name, backend)[0] for backend in _serving(entry)]
        if "Healthy" in states:
            return "Healthy"
        return "Transitioning" if "Transitioning" in states else "Unhealthy"

    def status(self, service: Service, counted: Series) -> dict[str, Any]:
        """Health and load. `counted`: the workers' counts of this moment."""
        entry = self._catalog.entry(service.name)
        queued = counted.get((meter.QUEUED.name, (service.name,)), (0.0,))[0]
        return {
            "state": self.state(service),
            "deployments": {one.name: self._deployment(entry.name, one) for one in entry.deployments},
            "queue": {"length": int(queued)},
            "utilization": self._utilization(entry, queued),
        }

    def _deployment(self, service: str, deployment: DeploymentEntry) -> dict[str, Any]:
        backends = [self._backend(service, backend) for backend in deployment.backends]
        return {"traffic": deployment.traffic, "backends": backends}

    def _backend(self, service: str, backend: BackendEntry) -> dict[str, Any]:
        state, since = self._state(service, backend)
        outstanding = self._board.outstanding(backend.row)
        return {
            "url": backend.url,
            "address": backend.address or None,
            "state": state,
            "outstanding": outstanding,
            "since": moment(since),
        }

    def _state(self, service: str, backend: BackendEntry) -> tuple[BackendState, datetime]:
        """What the probes say; Ejected where they find nothing wrong and the requests do."""
        state, since = self._probes.state(service, backend.row)
        if state != "Healthy" or self._board.standing(backend.row) not in OUT:
            return state, since
        return "Ejected", datetime.now(UTC) - timedelta(seconds=time.monotonic() - self._board.since(backend.row))

    def _utilization(self, entry: ServiceEntry, queued: float) -> float | None:
        """(busy + queued) / capacity; None where capacity has no limit."""
        limit, backends = entry.spec.max_concurrent_requests_per_container, _serving(entry)
        if limit is None:
            return None
        busy = sum(self._board.outstanding(backend.row) for backend in backends)
        return round((busy + queued) / (limit * len(backends)), 4)


def _serving(entry: ServiceEntry) -> list[BackendEntry]:
    return [backend for one in entry.deployments if one.traffic for backend in one.backends]
