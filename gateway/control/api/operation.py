"""What an operation of the admin API is. Which there are stands in `operations`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gateway.core.settings import Role

BASE = "/v1"
JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
Method = Literal["GET", "PUT", "PATCH", "POST", "DELETE"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter: its name, JSON schema type and meaning. `within`: the least and the greatest number."""

    name: str
    kind: Literal["string", "integer"]
    help: str
    repeats: bool = False
    within: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """`role`: the least that may call it; None: anyone. `body`, `answers`: names of schemas in `api.openapi`.

    The role is asked for the service in the path, or in the parameter `service`; where there is none, for all services.
    `partial`: who has it for some may call it too, and is shown those.
    """

    id: str
    method: Method
    path: str
    summary: str
    role: Role | None
    answers: dict[int, str | None]
    problems: tuple[int, ...] = ()
    body: str | None = None
    body_type: str = JSON
    body_required: bool = True
    query: tuple[Parameter, ...] = ()
    conditional: bool = False
    partial: bool = False

    @property
    def mutates(self) -> bool:
        """Whether it may change something: it is logged then, and takes an Idempotency-Key."""
        return self.method != "GET"

    @property
    def by_service(self) -> bool:
        """Whether a parameter says which service it is about."""
        return any(parameter.name == "service" for parameter in self.query)
