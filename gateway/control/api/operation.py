"""The operations of the admin API as a table: routes, roles and the OpenAPI document all come from it."""

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
    """A query parameter: its name, JSON schema type and meaning."""

    name: str
    kind: Literal["string", "integer"]
    help: str
    repeats: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """`role`: the least that may call it; None: anyone. `body`, `answers`: names of schemas in `api.openapi`."""

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

    @property
    def mutates(self) -> bool:
        """Whether it may change something: it is logged then, and takes an Idempotency-Key."""
        return self.method != "GET"


_PAGE = (
    Parameter("limit", "integer", "How many at most, 1 to 1000; 100 if left out."),
    Parameter("after", "string", "Go on after the service of this name; `next` of the answer says it for you."),
    Parameter("name", "string", "Only services whose name contains this."),
    Parameter(
        "tag", "string", "Only services with this tag: `key` or `key=value`. May be repeated: all must fit.", True
    ),
)

OPERATIONS = (
    Operation(
        id="list_services",
        method="GET",
        path="/services",
        summary="List services by name",
        role="reader",
        answers={200: "ServicePage"},
        problems=(400,),
        query=_PAGE,
    ),
    Operation(
        id="get_service",
        method="GET",
        path="/services/{name}",
        summary="Show a service",
        role="reader",
        answers={200: "Service"},
        problems=(404,),
    ),
    Operation(
        id="put_service",
        method="PUT",
        path="/services/{name}",
        summary="Create or replace a service",
        role="owner",
        answers={200: "Service", 201: "Service"},
        problems=(400, 409, 412),
        body="ServiceSpec",
        conditional=True,
    ),
    Operation(
        id="patch_service",
        method="PATCH",
        path="/services/{name}",
        summary="Change a service by JSON merge patch (RFC 7396); null takes a field back to its default",
        role="owner",
        answers={200: "Service"},
        problems=(400, 404, 409, 412),
        body="ServicePatch",
        body_type=MERGE_PATCH,
        conditional=True,
    ),
    Operation(
        id="delete_service",
        method="DELETE",
        path="/services/{name}",
        summary="Delete a service and its keys",
        role="owner",
        answers={204: None},
        problems=(404, 409, 412),
        conditional=True,
    ),
    Operation(
        id="get_status",
        method="GET",
        path="/services/{name}/status",
        summary="Show the health and load of a service",
        role="reader",
        answers={200: "Status"},
        problems=(404,),
    ),
    Operation(
        id="get_keys",
        method="GET",
        path="/services/{name}/keys",
        summary="Read both keys of a service",
        role="contributor",
        answers={200: "Keys"},
        problems=(404, 409),
    ),
    Operation(
        id="regenerate_key",
        method="POST",
        path="/services/{name}/keys/{slot}/regenerate",
        summary="Give a slot a new key; when this is answered, no worker accepts the old one",
        role="owner",
        answers={200: "RegeneratedKey"},
        problems=(400, 404, 409),
        body="RegenerateRequest",
        body_required=False,
    ),
    Operation(
        id="issue_token",
        method="POST",
        path="/services/{name}/token",
        summary="Issue a scoring token",
        role="caller",
        answers={200: "Token"},
        problems=(400, 404, 409),
        body="TokenRequest",
        body_required=False,
    ),
    Operation(
        id="list_signing_keys",
        method="GET",
        path="/signing-keys",
        summary="List the keys that sign tokens",
        role="owner",
        answers={200: "SigningKeys"},
    ),
    Operation(
        id="get_openapi",
        method="GET",
        path="/openapi.json",
        summary="This document",
        role=None,
        answers={200: "Document"},
    ),
)
BY_ID = {operation.id: operation for operation in OPERATIONS}
