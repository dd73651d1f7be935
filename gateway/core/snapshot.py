"""What workers serve, in the form in which it travels: the control process builds it, every worker compiles it.

`pydantic.TypeAdapter` writes and reads these values as JSON (bytes as base64). Nothing here can open a key.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import ConfigDict

from gateway.core.caller import CallerLimitSpec
from gateway.core.record import Slot
from gateway.core.spec import ServiceSpec

WIRE = ConfigDict(extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")


@dataclass(frozen=True, slots=True)
class FormerKeyEntry:
    """The key that a slot or caller had before, as workers know it. `until`: Unix seconds."""

    digest: bytes
    id: str
    until: float

    __pydantic_config__ = WIRE


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A key as workers know it: 32 bytes of HMAC, and public names for the log. `expires_at`: Unix seconds."""

    digest: bytes
    id: str
    slot: Slot
    expires_at: float | None = None
    former: FormerKeyEntry | None = None

    __pydantic_config__ = WIRE


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerEntry:
    """A named caller as workers know it. `expires_at`: Unix seconds; None: never."""

    name: str
    digest: bytes
    id: str
    verbs: tuple[str, ...]
    expires_at: float | None = None
    rate_limits: tuple[CallerLimitSpec, ...] = ()
    former: FormerKeyEntry | None = None

    __pydantic_config__ = WIRE


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterChange:
    """The named callers of a service that are new or changed, and the names of those that are gone.

    They travel apart from the service: one of ten thousand changes without the others, and without the service.
    """

    service: str
    callers: tuple[CallerEntry, ...] = ()
    gone: tuple[str, ...] = ()

    __pydantic_config__ = WIRE


@dataclass(frozen=True, slots=True)
class BackendEntry:
    """One container and its row of the scoreboard, the same row in every worker.

    `address`: the IP address that the host of `url` leads to; empty: connect to that host itself.
    """

    url: str
    row: int
    address: str = ""

    __pydantic_config__ = WIRE


@dataclass(frozen=True, slots=True)
class DeploymentEntry:
    """One version of a service."""

    name: str
    traffic: int
    backends: tuple[BackendEntry, ...]

    __pydantic_config__ = WIRE


@dataclass(frozen=True, slots=True)
class Revoked:
    """Tokens of a service that open nothing any more.

    Those issued before `before`, to one of `subjects` before its own time, and of one of `token_ids`. Times are Unix
    seconds, to be compared with `iat`.
    """

    before: int = 0
    subjects: dict[str, int] = field(default_factory=dict)
    token_ids: frozenset[str] = frozenset()

    __pydantic_config__ = WIRE


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceEntry:
    """A service as served. `spec.keys` is always None here.

    `born` (Unix seconds) is when the service was made: a token issued earlier belonged to another of the same name.
    """

    name: str
    spec: ServiceSpec
    keys: tuple[KeyEntry, ...]
    deployments: tuple[DeploymentEntry, ...]
    born: float
    revoked: Revoked = field(default_factory=Revoked)

    __pydantic_config__ = WIRE


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """The public half of a signing key, as a JWK with `kid` and `alg`.

    `not_after` (Unix seconds), of a key that signs no more: no token of it lives longer.
    """

    kid: str
    algorithm: str
    jwk: dict[str, str]
    not_after: float | None = None

    __pydantic_config__ = WIRE


@dataclass(frozen=True, slots=True)
class Trust:
    """What credentials are judged by, for all services: a worker replaces it as a whole."""

    digest_key: bytes = field(repr=False)
    issuer: str
    verifying_keys: tuple[VerifyingKey, ...]

    __pydantic_config__ = WIRE


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """A change to what workers serve. `full`: everything not in it is gone; else only what it names changes.

    With a service that is `removed` its named callers go; `rosters` come after that.
    """

    serial: int
    full: bool = False
    services: tuple[ServiceEntry, ...] = ()
    rosters: tuple[RosterChange, ...] = ()
    removed: tuple[str, ...] = ()
    trust: Trust | None = None

    __pydantic_config__ = WIRE
