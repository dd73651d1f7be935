"""What must survive a restart, as frozen values. The store keeps them; nothing here knows how.

Records only ever grow fields, each with a default, so that an older row still reads.
Times are timezone-aware UTC datetimes. Secrets stand here only as `Sealed` ciphertext (`core.vault`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from gateway.core.caller import CallerSpec
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


@dataclass(frozen=True, slots=True)
class FormerKey:
    """The key that was there before this one. It opens until then, so that whoever has it has time to change over."""

    id: str
    value: Sealed
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """One slot of a service's key pair. `version` counts changes of this slot from 1.

    `expires_at`: from then on the key opens nothing; None: never. `counted_from`: since when its uses are counted,
    where that is later than its making.
    """

    service: str
    slot: Slot
    id: str
    version: int
    value: Sealed
    created_at: datetime
    expires_at: datetime | None = None
    former: FormerKey | None = None
    counted_from: datetime | None = None


@dataclass(frozen=True, slots=True)
class KeyUseRecord:
    """How often a key was used in one hour. `hour`: Unix seconds / 3600, whole; `last_used`: Unix seconds."""

    service: str
    key_id: str
    hour: int
    uses: int
    last_used: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerRecord:
    """A customer of a service with a key of its own. `version` counts changes of it from 1.

    `created_at`: of the caller; `regenerated_at`: of its key.
    """

    service: str
    name: str
    id: str
    version: int
    value: Sealed
    spec: CallerSpec
    created_at: datetime
    regenerated_at: datetime
    former: FormerKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKeyRecord:
    """A key that signs tokens: the public half as a JWK, the private half (PKCS #8 DER) sealed.

    `signs_from`: when it became active. `lifetime_seconds`: the longest that a token of it may live. `not_after`, of a
    retiring one: when the last of them has expired.
    """

    kid: str
    algorithm: Literal["EdDSA", "ES256", "RS256"]
    public_jwk: dict[str, str]
    private_key: Sealed
    state: SigningKeyState
    created_at: datetime
    not_after: datetime | None = None
    signs_from: datetime | None = None
    lifetime_seconds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationRecord:
    """Tokens of a service that open nothing any more: one token, one subject's, or all (neither is given).

    Of a subject and of all: those whose `iat` is below `issued_before` (Unix seconds). `until`: when the last of them
    has expired, and the record may be forgotten.
    """

    service: str
    token_id: str = ""
    subject: str = ""
    issued_before: int = 0
    until: datetime
