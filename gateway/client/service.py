"""What is known of a service without asking: the fields of its last answer, shared by both shells."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any


class ServiceFields:
    """A service as the admin API last told it. `document` is that answer, whole."""

    document: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r}, state={self.state!r}, scoring_uri={self.scoring_uri!r})"

    @property
    def name(self) -> str:
        """The service's name."""
        return str(self.document["name"])

    @property
    def state(self) -> str:
        """`Healthy`, `Unhealthy` or `Transitioning`, when it was last read."""
        return str(self.document["state"])

    @property
    def scoring_uri(self) -> str:
        """Where to POST documents."""
        return str(self.document["scoring_uri"])

    @property
    def swagger_uri(self) -> str | None:
        """Where the service's own description is; None when it has none."""
        return self.document.get("swagger_uri")

    @property
    def auth_enabled(self) -> bool:
        """Whether a key opens the service."""
        return bool(self.document["auth_enabled"])

    @property
    def token_auth_enabled(self) -> bool:
        """Whether a token opens the service."""
        return bool(self.document["token_auth_enabled"])

    @property
    def tags(self) -> dict[str, str]:
        """The owner's labels."""
        return dict(self.document.get("tags") or {})

    @property
    def description(self) -> str:
        """The owner's words."""
        return str(self.document.get("description") or "")

    @property
    def compute_type(self) -> str:
        """`AKS`, `ACI` or `AKSENDPOINT`: whose defaults it took."""
        return str(self.document["compute_type"])

    @property
    def created_at(self) -> datetime:
        """When it was made (timezone-aware)."""
        return datetime.fromisoformat(self.document["created_at"])

    @property
    def updated_at(self) -> datetime:
        """When it was last changed (timezone-aware)."""
        return datetime.fromisoformat(self.document["updated_at"])
