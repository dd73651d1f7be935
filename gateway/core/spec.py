"""What was asked of a service: the `services.<name>` block as a frozen value.

One declaration serves the YAML file, the admin API and the published JSON schema: `pydantic.TypeAdapter` builds these
plain dataclasses from outside data (types, ranges, unknown keys); `__post_init__` holds the rules that span keys.
A line belongs here if an owner of one service may decide it. Process-wide settings are in `core.settings`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from gateway.core.scalar import BackendUrl, HeaderValue, Host, Network, Origin, Path, Token

STRICT = ConfigDict(extra="forbid", strict=True)
"""Unknown keys are refused and `"5"` is no number: a typing mistake is told, never guessed away."""

SERVICE_NAME_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
ServiceName = Annotated[str, Field(pattern=SERVICE_NAME_PATTERN, min_length=3, max_length=32)]
DeploymentName = Annotated[str, Field(pattern=SERVICE_NAME_PATTERN, min_length=1, max_length=32)]

ComputeType = Literal["AKS", "ACI", "AKSENDPOINT"]
LoadBalancer = Literal["least_outstanding", "round_robin", "power_of_two"]
Partition = Literal["service", "credential", "ip"]
ErrorDialect = Literal["aks", "managed", "plain"]
OnClientGone = Literal["auto", "drain", "abort"]

_SAID_BY_THE_GATEWAY = re.compile(
    r"x-forwarded-.*|x-scoregate-.*|x-request-id|x-ms-client-request-id|host|content-length|expect"
    r"|connection|keep-alive|proxy-connection|te|trailer|transfer-encoding|upgrade|http2-settings",
    re.IGNORECASE,
)

MOST = 2**53 - 1
"""The largest whole number that every JSON reader, and a float, holds exactly (RFC 8259 section 6)."""
Positive = Annotated[int, Field(ge=1, le=MOST)]
Natural = Annotated[int, Field(ge=0, le=MOST)]
GraceSeconds = Annotated[int, Field(ge=0, le=31_536_000)]
Percent = Annotated[int, Field(ge=0, le=100)]
Milliseconds = Annotated[int, Field(ge=1, le=86_400_000)]


@dataclass(frozen=True, slots=True)
class KeysSpec:
    """Values of both key slots from outside (`env:NAME` and `file:PATH` are read by `gateway.config`)."""

    primary: Annotated[str, Field(min_length=1, max_length=1024)] = field(repr=False)
    secondary: Annotated[str, Field(min_length=1, max_length=1024)] = field(repr=False)

    __pydantic_config__ = STRICT

    def __post_init__(self) -> None:
        if self.primary == self.secondary:
            raise ValueError("primary and secondary must differ, else neither can be rotated while the other works")


@dataclass(frozen=True, slots=True)
class CorsSpec:
    """Which pages of other origins may score. `*` with credentials is refused, as the Fetch standard demands."""

    allowed_origins: Annotated[tuple[Origin, ...], Field(min_length=1)]
    allowed_methods: tuple[Token, ...] = ("GET", "POST")
    allowed_headers: tuple[Token, ...] = ("Authorization", "Content-Type")
    exposed_headers: tuple[Token, ...] = ("x-request-id",)
    allow_credentials: bool = False
    max_age_seconds: Natural = 600

    __pydantic_config__ = STRICT

    def __post_init__(self) -> None:
        wild = [
            name for name in ("allowed_origins", "allowed_methods", "allowed_headers") if "*" in getattr(self, name)
        ]
        if self.allow_credentials and wild:
            raise ValueError(f"allow_credentials cannot go with '*' in {wild[0]}: name them one by one")


@dataclass(frozen=True, slots=True)
class RateLimitSpec:
    """At most `requests` in `per_seconds` on average, `burst` at once, counted for each value of `partition`."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9][-_.a-zA-Z0-9]*$", max_length=64)]
    requests: Positive
    per_seconds: Annotated[float, Field(gt=0, le=2_678_400)] = 1.0
    burst: Positive | None = None
    partition: Partition = "service"

    __pydantic_config__ = STRICT


@dataclass(frozen=True, slots=True)
class BackendTlsSpec:
    """How an `https://` backend is verified, and what it is shown."""

    ca: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    server_name: Host | None = None

    __pydantic_config__ = STRICT


@dataclass(frozen=True, slots=True)
class HealthSpec:
    """Probes of the control process: GET `path` on every backend."""

    path: Path = "/"
    interval_seconds: Annotated[float, Field(gt=0)] = 5.0
    timeout_seconds: Annotated[float, Field(gt=0)] = 2.0
    failure_threshold: Positive = 3
    success_threshold: Positive = 1

    __pydantic_config__ = STRICT


@dataclass(frozen=True, slots=True)
class EjectionSpec:
    """When a backend that fails real requests is left out for a while."""

    consecutive_failures: Positive = 5
    seconds: Annotated[float, Field(gt=0)] = 30.0
    max_percent: Percent = 50

    __pydantic_config__ = STRICT


@dataclass(frozen=True, slots=True)
class RetrySpec:
    """Further tries on another backend, and how many percent of all requests they may be."""

    attempts: Positive = 2
    budget_percent: Percent = 20

    __pydantic_config__ = STRICT


@dataclass(frozen=True, slots=True)
class RequestHeadersSpec:
    """Fields set on, and removed from, what the backend receives."""

    set: dict[Token, HeaderValue] = field(default_factory=dict, repr=False)
    remove: tuple[Token, ...] = ()

    __pydantic_config__ = STRICT

    def __post_init__(self) -> None:
        ours = [name for name in self.set if _SAID_BY_THE_GATEWAY.fullmatch(name)]
        if ours:
            raise ValueError(f"set may not name {ours[0]}: what that field says, the gateway says itself")


@dataclass(frozen=True, slots=True)
class DeploymentSpec:
    """One version of a service: its containers, its share of the traffic, its share of mirrored traffic."""

    backends: Annotated[tuple[BackendUrl, ...], Field(min_length=1)]
    traffic: Percent = 0
    mirror: Annotated[int, Field(ge=0, le=50)] = 0

    __pydantic_config__ = STRICT


@dataclass(frozen=True, slots=True)
class ClassicEndpointSpec:
    """An endpoint of a classic Studio service; keys belong to it."""

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    keys: KeysSpec | None = None

    __pydantic_config__ = STRICT


@dataclass(frozen=True, slots=True)
class ClassicSpec:
    """The classic Studio form of a service."""

    workspace: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    endpoints: dict[str, ClassicEndpointSpec]
    inputs: dict[str, list[str]] = field(default_factory=dict)
    outputs: dict[str, list[str]] = field(default_factory=dict)

    __pydantic_config__ = STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    """A service as asked for. Exactly one of `backends` and `deployments` is given.

    `auth_enabled` and `token_auth_enabled` left out take Azure's defaults for `compute_type`: read them through
    `key_auth` and `token_auth`.
    """

    description: Annotated[str, Field(max_length=4096)] = ""
    tags: dict[str, str] = field(default_factory=dict)
    compute_type: ComputeType = "AKS"
    auth_enabled: bool | None = None
    token_auth_enabled: bool | None = None
    keys: KeysSpec | None = field(default=None, repr=False)
    key_lifetime_days: Annotated[int | None, Field(ge=1, le=3650)] = None
    key_grace_seconds: GraceSeconds = 0
    allowed_ips: tuple[Network, ...] = ()
    backends: tuple[BackendUrl, ...] = ()
    deployments: dict[DeploymentName, DeploymentSpec] | None = None
    backend_tls: BackendTlsSpec | None = None
    hosts: tuple[Host, ...] = ()
    scoring_path: Path = "/score"
    swagger_path: Path | None = "/swagger.json"
    example: Any = None
    schema: Any = None
    extra_paths: bool = False
    classic: ClassicSpec | None = None
    load_balancer: LoadBalancer = "least_outstanding"
    max_concurrent_requests_per_container: Annotated[int | None, Field(ge=1, le=1_000_000)] = 1
    max_queue_wait_ms: Annotated[int, Field(ge=0, le=86_400_000)] = 500
    max_queue_length: Natural = 1000
    scoring_timeout_ms: Milliseconds = 60_000
    stream_idle_timeout_ms: Milliseconds = 60_000
    connect_timeout_ms: Milliseconds = 2_000
    on_client_gone: OnClientGone = "auto"
    abandon_after_ms: Milliseconds | None = None
    max_request_bytes: Positive = 104_857_600
    retry: RetrySpec = RetrySpec()
    health: HealthSpec | None = HealthSpec()
    ejection: EjectionSpec | None = EjectionSpec()
    error_dialect: ErrorDialect = "aks"
    cors: CorsSpec | None = None
    rate_limits: tuple[RateLimitSpec, ...] = ()
    request_headers: RequestHeadersSpec = RequestHeadersSpec()

    __pydantic_config__ = STRICT

    def __post_init__(self) -> None:
        if bool(self.backends) == bool(self.deployments):
            raise ValueError("give either backends (one deployment named default) or deployments, and not both")
        if self.deployments and sum(d.traffic for d in self.deployments.values()) != 100:
            raise ValueError("the traffic of all deployments must sum to 100")
        if self.compute_type == "ACI" and self.token_auth_enabled:
            raise ValueError("token_auth_enabled is impossible with compute_type ACI; use AKS")
        names = [limit.name for limit in self.rate_limits]
        if len(set(names)) != len(names):
            raise ValueError("two rate_limits have the same name; clients and metrics tell them apart by it")

    @property
    def key_auth(self) -> bool:
        """Whether a key opens this service."""
        return self.compute_type != "ACI" if self.auth_enabled is None else self.auth_enabled

    @property
    def token_auth(self) -> bool:
        """Whether a token opens this service."""
        return bool(self.token_auth_enabled)

    @property
    def deployed(self) -> dict[str, DeploymentSpec]:
        """Name → deployment, with `backends` seen as one deployment named `default`."""
        return self.deployments or {"default": DeploymentSpec(backends=self.backends, traffic=100)}
