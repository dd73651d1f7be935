"""What must survive a restart, as frozen values. The store keeps them; nothing here knows how.

Records only ever grow fields, each with a default, so that an older row still reads.
Times are timezone-aware UTC datetimes. Secrets stand here only as `Sealed` ciphertext (`core.vault`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from gateway.core.spec import ServiceSpec

Slot = Literal["primary", "secondary"]
SLOTS: tuple[Slot, Slot] = ("primary", "secondary")
Origin = Literal["file", "api"]
SigningKeyState = Literal["next", "active", "retiring"]


@dataclass(frozen=True, slots=True)
class Sealed:
    """AES-256-GCM ciphertext (12-byte nonce first) and the id of the data key that opens it."""

    data_key_id: str
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class DataKeyRecord:
    """A 32-byte data key, wrapped by the master key named `master_key_id`."""

    id: str
    master_key_id: str
    wrapped: bytes
    created_at: datetime


@dataclass(frozen=True, slots=True)
class InstallationRecord:
    """Made once per store: its id names the token issuer, its digest key turns keys into the digests workers hold."""

    id: str
    digest_key: Sealed
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRecord:
    """A service. One declared in YAML keeps its spec in the file: `spec` is None and `origin` is `file`.

    `version` counts changes from 1 and is what an `ETag` shows.
    """

    name: str
    origin: Origin
    spec: ServiceSpec | None
    created_at: datetime
    updated_at: datetime
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """One slot of a service's key pair. `version` counts regenerations of this slot from 1."""

    service: str
    slot: Slot
    id: str
    version: int
    value: Sealed
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKeyRecord:
    """A key that signs tokens: the public half as a JWK, the private half (PKCS #8 DER) sealed."""

    kid: str
    algorithm: Literal["EdDSA", "ES256", "RS256"]
    public_jwk: dict[str, str]
    private_key: Sealed
    state: SigningKeyState
    created_at: datetime
    not_after: datetime | None = None
