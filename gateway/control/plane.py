"""What the control process is given at its start, and what it finds in the store before anything runs."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.control import founding, metrics
from gateway.control.inventory import Inventory
from gateway.control.keyring import Keyring
from gateway.control.refusal import StartError
from gateway.control.reload import Source, Status
from gateway.control.service import Place, Service
from gateway.control.signing import Keys, KeyStore
from gateway.control.uses import Uses
from gateway.core.scoreboard import HealthBoard
from gateway.core.settings import Settings
from gateway.core.snapshot import Trust
from gateway.core.store import Store
from gateway.core.vault import VaultError


@dataclass(frozen=True, kw_only=True)
class ControlPlane:
    """What the control process is given. Paths in `settings` are absolute.

    `places`: where the services of the file are declared. `open_store` is called in the store's thread. `link_socket`
    and `lane_socket` (Unix), `admin_socket` and `metrics_socket` (TCP) listen already. URLs are as told in the ready
    file, with real ports and no trailing slash. `scoring_scheme` and `scoring_port` make the URLs that remote callers
    are shown. `heartbeat` is called twice a second from the loop. `certificates`: those of each listener with TLS, as
    this process sees them. `source`: where the services came from, None where that cannot change; `hangup` is set to
    have it read.
    """

    settings: Settings
    places: Mapping[str, Place]
    open_store: Callable[[], Store]
    board: HealthBoard
    link_socket: socket.socket
    admin_socket: socket.socket
    metrics_socket: socket.socket
    admin_ssl: ssl.SSLContext | None
    workers: int
    scoring_scheme: str
    scoring_port: int
    scoring_url: str
    admin_url: str
    metrics_url: str
    ca_file: Path | None
    ready_file: Path | None
    supervisor_pid: int
    heartbeat: Callable[[], None]
    certificates: Mapping[str, metrics.Certificates]
    source: Source[Any] | None
    hangup: asyncio.Event
    lane_socket: socket.socket | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """What the store's thread found at the start."""

    store: Store
    keyring: Keyring
    trust: Trust
    key_store: KeyStore
    signing_keys: Keys
    services: dict[str, Service]
    absent: set[str]
    admin_token: str
    status: Status
    foundation: founding.Foundation
    uses: Uses


def find(plane: ControlPlane) -> Opened:
    """All of a start that blocks. The store is closed again if anything after it fails."""
    store = plane.open_store()
    try:
        now = datetime.now(UTC)
        foundation = founding.found(plane.settings, store, now)
        keyring = Keyring(foundation.vault, foundation.digest_key)
        key_store = KeyStore(plane.settings, store, keyring)
        services, absent = Inventory(
            declared=plane.settings.services, places=plane.places, store=store, keyring=keyring, now=now
        ).take()
        return Opened(
            store=store,
            keyring=keyring,
            trust=founding.trust(plane.settings, foundation),
            key_store=key_store,
            signing_keys=key_store.begin(),
            services=services,
            absent=absent,
            admin_token=founding.admin_token(plane.settings),
            status=Status(plane.settings),
            foundation=foundation,
            uses=Uses(store.key_uses(0)),
        )
    except BaseException as error:
        store.close()
        if isinstance(error, VaultError):
            raise StartError(f"a secret in the store: {error}") from None
        raise
