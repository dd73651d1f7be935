"""The URLs under which clients call a service."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.control.service import Service

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?)(:\d{1,5})?")
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Addresses:
    """How the scoring port is reached: `public_url` if it was configured, else on the host that the caller used."""

    scheme: str
    port: int
    public_url: str | None = None

    def base(self, headers: Mapping[str, str]) -> str:
        """The scoring URL for whoever sent these headers, without trailing slash."""
        if self.public_url is not None:
            return self.public_url.rstrip("/")
        match = _HOST.fullmatch(headers.get("Host", ""))
        host = match[1] if match else "localhost"
        return f"{self.scheme}://{host}" + ("" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}")


def scoring_path(service: Service) -> str:
    """Where the service is scored."""
    return f"/api/v1/service/{service.name}/score"


def swagger_path(service: Service) -> str | None:
    """Where its document is; None when it has none."""
    return None if service.spec.swagger_path is None else f"/api/v1/service/{service.name}/swagger.json"
