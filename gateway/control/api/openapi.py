"""The OpenAPI 3.1 document of the admin API, made from the operation table and the types that read requests."""

from __future__ import annotations

from typing import Any

from gateway import __version__
from gateway.control.api import example
from gateway.control.api.keys import REGENERATE, TOKEN
from gateway.control.api.operation import BASE, OPERATIONS, Operation, Parameter
from gateway.control.api.view import SPEC
from gateway.core.problem import PROBLEM_JSON, title
from gateway.core.record import SLOTS
from gateway.core.spec import SERVICE_NAME_PATTERN

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_TIME: Schema = {"type": "string", "format": "date-time"}
_NO_TIME: Schema = {"type": ["string", "null"], "format": "date-time"}
_STATE: Schema = {"enum": ["Healthy", "Unhealthy", "Transitioning"]}
_COMMON_PROBLEMS = (401, 403, 413, 422, 500, 503)
_DESCRIPTION = (
    "Manages services, keys and tokens of a Scoregate. Times are RFC 3339 in UTC. Errors are problem documents "
    "(RFC 9457). A change is answered when every worker serves it."
)


def document() -> Schema:
    """The document, ready to be sent."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(BASE + operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Scoregate admin API", "version": __version__, "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "security": [{"admin": []}],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"admin": {"type": "http", "scheme": "bearer", "description": "The admin token."}},
            "responses": {"Problem": _problem()},
        },
    }


def _operation(operation: Operation) -> Schema:
    described: Schema = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": ["keys and tokens" if "key" in operation.id or "token" in operation.id else "services"],
        "parameters": _parameters(operation),
        "responses": {
            **{str(status): _answer(status, schema) for status, schema in operation.answers.items()},
            **{str(status): {"$ref": "#/components/responses/Problem"} for status in _problems(operation)},
        },
    }
    if operation.role is None:
        described["security"] = []
    else:
        described["description"] = f"Least role: {operation.role}."
    if operation.body is not None:
        described["requestBody"] = {
            "required": operation.body_required,
            "content": {operation.body_type: _content(operation.body)},
        }
    return described


def _parameters(operation: Operation) -> list[Schema]:
    parameters = [_query(parameter) for parameter in operation.query]
    if "{name}" in operation.path:
        parameters.append(_in_path("name", {"type": "string", "pattern": SERVICE_NAME_PATTERN}, "diabetes"))
    if "{slot}" in operation.path:
        parameters.append(_in_path("slot", {"enum": list(SLOTS)}, "primary"))
    if operation.conditional:
        parameters.append(_header("If-Match", "The ETag of the last read: 412 if the service has changed since."))
    if operation.mutates:
        parameters.append(_header("Idempotency-Key", "Sent again with the same body within 10 minutes: same answer."))
    return parameters


def _query(parameter: Parameter) -> Schema:
    schema: Schema = {"type": parameter.kind}
    if parameter.repeats:
        schema = {"type": "array", "items": schema}
    return {"name": parameter.name, "in": "query", "description": parameter.help, "schema": schema}


def _in_path(name: str, schema: Schema, shown: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": schema, "example": shown}


def _header(name: str, meaning: str) -> Schema:
    return {"name": name, "in": "header", "description": meaning, "schema": {"type": "string", "maxLength": 255}}


def _problems(operation: Operation) -> list[int]:
    common = _COMMON_PROBLEMS if operation.role is not None else (500,)
    with_body = (415,) if operation.body else ()
    return sorted({*common, *with_body, *operation.problems})


def _answer(status: int, schema: str | None) -> Schema:
    described: Schema = {"description": title(status)}
    if schema is not None:
        described["content"] = {"application/json": _content(schema)}
    return described


def _content(schema: str) -> Schema:
    content: Schema = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    if schema in example.EXAMPLES:
        content["example"] = example.EXAMPLES[schema]
    return content


def _problem() -> Schema:
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example.PROBLEM}
    return {"description": "What is wrong and what to do.", "content": {PROBLEM_JSON.decode(): content}}


def _schemas() -> dict[str, Schema]:
    template = "#/components/schemas/{model}"
    schemas: dict[str, Schema] = {}
    for adapter in (SPEC, REGENERATE, TOKEN):
        schema = adapter.json_schema(ref_template=template)
        schemas |= schema.pop("$defs", {})
        schemas[schema["title"]] = schema
    return {
        **schemas,
        "ServicePatch": {
            "type": "object",
            "description": "Members of ServiceSpec; null takes one back to its default.",
        },
        "Service": _service(template),
        "ServicePage": _object({"value": _list_of("Service"), "next": {**_TEXT, "format": "uri"}}, optional=("next",)),
        "Status": _status(),
        "Keys": _object({"primary_key": _TEXT, "secondary_key": _TEXT, "slots": _slots()}),
        "RegeneratedKey": _object(
            {
                "slot": {"enum": list(SLOTS)},
                "value": _TEXT,
                "id": _TEXT,
                "grace_until": _NO_TIME,
                "acknowledged": _object({"workers": _COUNT, "replicas": _COUNT, "of": _COUNT}),
            }
        ),
        "Token": _object({"token": _TEXT, "token_type": {"const": "Bearer"}, "refresh_by": _TIME, "expires_at": _TIME}),
        "SigningKeys": _object({"value": {"type": "array", "items": _signing_key()}}),
        "Document": {"type": "object", "description": "An OpenAPI 3.1 document."},
        "Problem": _object(
            {
                "type": _TEXT,
                "title": _TEXT,
                "status": {"type": "integer"},
                "detail": _TEXT,
                "request_id": _TEXT,
                "errors": {"type": "array", "items": _object({"path": _TEXT, "reason": _TEXT})},
            },
            optional=("errors",),
        ),
    }


def _object(properties: dict[str, Schema], optional: tuple[str, ...] = ()) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _list_of(schema: str) -> Schema:
    return {"type": "array", "items": {"$ref": f"#/components/schemas/{schema}"}}


def _service(template: str) -> Schema:
    block = SPEC.json_schema(ref_template=template, mode="serialization")["properties"]
    del block["keys"]
    hidden = {"type": ["string", "null"], "description": "null where the name tells that the value is a secret"}
    shown = {"set": {"type": "object", "additionalProperties": hidden}, "remove": {"type": "array", "items": _TEXT}}
    return _object(
        {
            "name": {"type": "string", "pattern": SERVICE_NAME_PATTERN},
            **block,
            "request_headers": _object(shown),
            "auth_enabled": {"type": "boolean"},
            "token_auth_enabled": {"type": "boolean"},
            "scoring_uri": {**_TEXT, "format": "uri"},
            "swagger_uri": {"type": ["string", "null"], "format": "uri"},
            "state": _STATE,
            "origin": {"enum": ["file", "api"]},
            "created_at": _TIME,
            "updated_at": _TIME,
        }
    )


def _status() -> Schema:
    address = {"type": ["string", "null"], "description": "where the host of the URL leads to, if it is a name"}
    backend = _object({"url": _TEXT, "address": address, "state": _STATE, "outstanding": _COUNT, "since": _TIME})
    deployment = _object({"traffic": _COUNT, "backends": {"type": "array", "items": backend}})
    return _object(
        {
            "state": _STATE,
            "deployments": {"type": "object", "additionalProperties": deployment},
            "queue": _object({"length": _COUNT}),
            "utilization": {"type": ["number", "null"], "description": "(busy + queued) / capacity"},
        }
    )


def _slots() -> Schema:
    slot = _object({"id": _TEXT, "created_at": _TIME, "expires_at": _NO_TIME, "grace_until": _NO_TIME})
    return _object(dict.fromkeys(SLOTS, slot))


def _signing_key() -> Schema:
    return _object({"kid": _TEXT, "state": {"enum": ["next", "active", "retiring"]}, "not_after": _NO_TIME})
