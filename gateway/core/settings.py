"""What was asked of the whole process: every section of `gateway.yaml` but `services`, and the services themselves.

Scalar keys here can be overridden by the environment (`SCOREGATE__SCORING__LISTEN`); see `gateway.config`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.core.scalar import Issuer, Network
from gateway.core.spec import STRICT, Natural, Positive, ServiceName, ServiceSpec

TlsVersion = Literal["1.2", "1.3"]
Role = Literal["owner", "contributor", "reader", "caller"]
SERVICE_PLACE = "{service}"
"""Stands for the name of a service in an entry of `admin.oidc.roles`."""


def _listen(value: str) -> str:
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^\[\]:\s]+)):(\d{1,5})", value)
    if not match or int(match[3]) > 65535:
        raise ValueError(f"{value!r} is no address:port such as 0.0.0.0:8443 or [::]:8443")
    return value


Listen = Annotated[str, AfterValidator(_listen)]
Seconds = Annotated[float, Field(gt=0)]


@dataclass(frozen=True, slots=True)
class CertificateSettings:
    """One certificate chain and its key, both PEM files."""

    certificate: Path
    private_key: Path

    __pydantic_config__ = STRICT


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """TLS of a listener. Paths left out are `<data_dir>/tls/server.crt` and `server.key`."""

    certificate: Path | None = None
    private_key: Path | None = None
    minimum_version: TlsVersion = "1.2"
    maximum_version: TlsVersion = "1.3"
    client_ca: Path | None = None
    extra: tuple[CertificateSettings, ...] = ()

    __pydantic_config__ = STRICT

    def __post_init__(self) -> None:
        if self.minimum_version > self.maximum_version:
            raise ValueError("minimum_version is above maximum_version: no client could connect")


@dataclass(frozen=True, slots=True)
class ScoringSettings:
    """The data plane: listener, TLS, deadlines, caps."""

    listen: Listen = "0.0.0.0:8443"
    workers: Literal["auto"] | Annotated[int, Field(ge=1, le=256)] = "auto"
    public_url: Annotated[str | None, Field(pattern=r"^https?://[^/\s?#@]+$")] = None
    tls: TlsSettings | None = TlsSettings()
    max_header_bytes: Annotated[int, Field(ge=1024, le=1_048_576)] = 32_768
    handshake_timeout_seconds: Seconds = 10.0
    header_timeout_seconds: Seconds = 10.0
    body_timeout_seconds: Seconds = 60.0
    keep_alive_seconds: Seconds = 75.0
    max_connections: Positive = 10_000
    max_connections_per_ip: Natural = 0
    head_memo_entries: Annotated[int, Field(ge=0, le=65_536)] = 1024
    max_auth_failures_per_minute: Natural = 600
    drain_seconds: Annotated[float, Field(ge=0)] = 30.0
    trusted_proxies: tuple[Network, ...] = ()

    __pydantic_config__ = STRICT


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """Whose OpenID Connect tokens open the admin API, and which claim gives which role.

    `roles_claim`: the name of a claim, or a path of names with dots. The forms of an entry of `roles`: `core.grant`.
    """

    issuer: Issuer
    audience: Annotated[str, Field(min_length=1)]
    roles_claim: Annotated[str, Field(min_length=1)] = "roles"
    roles: dict[Role, list[Annotated[str, Field(min_length=1)]]] = field(default_factory=dict)

    __pydantic_config__ = STRICT

    def __post_init__(self) -> None:
        if not any(self.roles.values()):
            raise ValueError("roles gives nobody a role: name the values of roles_claim that do, such as owner: [ml]")
        for entry in (entry for entries in self.roles.values() for entry in entries):
            rest = entry.replace(SERVICE_PLACE, "", 1)
            if "{" in rest or "}" in rest:
                raise ValueError(f"roles has the entry {entry!r}: {SERVICE_PLACE}, once, is all that braces may hold")


@dataclass(frozen=True, slots=True)
class AdminSettings:
    """The control plane: admin API, Azure dialects, portal."""

    listen: Listen = "127.0.0.1:8444"
    tls: Literal["inherit"] | TlsSettings | None = "inherit"
    token_file: Path | None = None
    oidc: OidcSettings | None = None
    reveal_keys: Literal["reader", "contributor", "owner", "never"] = "contributor"
    max_auth_failures_per_minute: Natural = 60

    __pydantic_config__ = STRICT


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """Where Prometheus scrapes, plain HTTP."""

    listen: Listen = "127.0.0.1:9464"

    __pydantic_config__ = STRICT


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Where records survive, and the master key that seals the secrets among them."""

    url: str | None = None
    master_key_file: Path | None = None
    previous_master_key_files: tuple[Path, ...] = ()
    max_staleness_seconds: Annotated[float | None, Field(gt=0)] = None
    shared_limits: Annotated[str | None, Field(pattern=r"^rediss?://")] = None

    __pydantic_config__ = STRICT


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """What tokens say and how long they live (seconds)."""

    issuer: Annotated[str | None, Field(min_length=1, max_length=512)] = None
    algorithm: Literal["EdDSA", "ES256", "RS256"] = "EdDSA"
    refresh_after_seconds: Positive = 43_200
    lifetime_seconds: Positive = 86_400
    signing_key_days: Positive = 30
    exchange: bool = False

    __pydantic_config__ = STRICT

    def __post_init__(self) -> None:
        if self.refresh_after_seconds > self.lifetime_seconds:
            raise ValueError("refresh_after_seconds is beyond lifetime_seconds: tokens would die before their refresh")


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """Asynchronous jobs."""

    storage: str | None = None
    runners: Natural = 1
    rows_per_request: Positive = 100
    parallel_requests: Positive = 4
    keep_days: Positive = 7

    __pydantic_config__ = STRICT


@dataclass(frozen=True, slots=True)
class LoggingSettings:
    """Levels and where the access log goes: `stdout`, a file, or nowhere (null)."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    access_log: str | None = "stdout"

    __pydantic_config__ = STRICT


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole of `gateway.yaml`."""

    data_dir: Path = Path("../var")
    scoring: ScoringSettings = ScoringSettings()
    admin: AdminSettings = AdminSettings()
    metrics: MetricsSettings = MetricsSettings()
    store: StoreSettings = StoreSettings()
    tokens: TokenSettings = TokenSettings()
    batch: BatchSettings = BatchSettings()
    logging: LoggingSettings = LoggingSettings()
    services: dict[ServiceName, ServiceSpec] = field(default_factory=dict)

    __pydantic_config__ = STRICT
