"""What workers serve, in the form in which it travels: the control process builds it, every worker compiles it.

`pydantic.TypeAdapter` writes and reads these values as JSON (bytes as base64). Nothing here can open a key.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import ConfigDict

from gateway.core.record import Slot
from gateway.core.spec import ServiceSpec

WIRE = ConfigDict(extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A key as workers know it: 32 bytes of HMAC, and public names for the log."""

    digest: bytes
    id: str
    slot: Slot

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

    __pydantic_config__ = WIRE


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """The public half of a signing key, as a JWK with `kid` and `alg`."""

    kid: str
    algorithm: str
    jwk: dict[str, str]

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
    """A change to what workers serve. `full`: everything not in it is gone; else only what it names changes."""

    serial: int
    full: bool = False
    services: tuple[ServiceEntry, ...] = ()
    removed: tuple[str, ...] = ()
    trust: Trust | None = None

    __pydantic_config__ = WIRE
