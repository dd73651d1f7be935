"""The SDK: a gateway's services, keys, tokens and scoring from Python. It imports nothing else of `gateway`.

Blocking: `Workspace`, `Webservice`, `ScoringClient`. For asyncio the same, awaited: `gateway.client.aio`.
See `docs/sdk.md`.
"""

from gateway.client.error import (
    ClientError,
    DeploymentTimeoutError,
    NotAllowedError,
    RefusedError,
    ScoringError,
    UnknownGatewayError,
    UnreachableError,
    WebserviceNotFound,
)
from gateway.client.sync import ScoringClient, Webservice, Workspace

__all__ = [
    "ClientError",
    "DeploymentTimeoutError",
    "NotAllowedError",
    "RefusedError",
    "ScoringClient",
    "ScoringError",
    "UnknownGatewayError",
    "UnreachableError",
    "Webservice",
    "WebserviceNotFound",
    "Workspace",
]
