"""The OpenAPI 3.1 document of the admin API, made from the operation table and the types that read requests."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from gateway import __version__
from gateway.control.api import example, problem_example
from gateway.control.api.operation import BASE, Operation, Parameter
from gateway.control.api.operations import OPERATIONS
from gateway.control.api.replay import MAX_KEY_CHARACTERS
from gateway.control.api.schemas import Schema, schemas
from gateway.core.caller import CallerName
from gateway.core.problem import PROBLEM_JSON, title
from gateway.core.record import SLOTS
from gateway.core.spec import ServiceName

_NAME, _CALLER = TypeAdapter(ServiceName), TypeAdapter(CallerName)
_COMMON_PROBLEMS = (401, 403, 413, 429, 500, 503)
_PROBLEM_HEADERS = {
    401: {"WWW-Authenticate": "How to come in (RFC 6750)."},
    429: {"Retry-After": "Seconds to wait."},
    503: {"Retry-After": "Seconds to wait."},
}
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
            "schemas": schemas(),
            "responses": {f"Problem{status}": _problem(status, told) for status, told in problem_example.FRAME.items()},
            "securitySchemes": {"admin": {"type": "http", "scheme": "bearer", "description": "The admin token."}},
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
            **{str(status): _refusal(operation.id, status) for status in _problems(operation)},
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
        parameters.append(_in_path("name", _NAME.json_schema(), "diabetes"))
    if "{caller}" in operation.path:
        parameters.append(_in_path("caller", _CALLER.json_schema(), "acme"))
    if "{slot}" in operation.path:
        parameters.append(_in_path("slot", {"enum": list(SLOTS)}, "primary"))
    if operation.conditional:
        parameters.append(_header("If-Match", "The ETag of the last read: 412 if the service has changed since."))
    if operation.mutates:
        meaning = "Sent again with the same body within 10 minutes: same answer."
        parameters.append(_header("Idempotency-Key", meaning, minLength=1, maxLength=MAX_KEY_CHARACTERS))
    return parameters


def _query(parameter: Parameter) -> Schema:
    schema: Schema = {"type": parameter.kind}
    if parameter.within is not None:
        schema |= dict(zip(("minimum", "maximum"), parameter.within, strict=True))
    if parameter.repeats:
        schema = {"type": "array", "items": schema}
    return {"name": parameter.name, "in": "query", "description": parameter.help, "schema": schema}


def _in_path(name: str, schema: Schema, shown: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": schema, "example": shown}


def _header(name: str, meaning: str, **schema: int) -> Schema:
    return {"name": name, "in": "header", "description": meaning, "schema": {"type": "string", **schema}}


def _problems(operation: Operation) -> list[int]:
    common = _COMMON_PROBLEMS if operation.role is not None else (500,)
    with_body = (415,) if operation.body else ()
    of_change = (400, 422) if operation.mutates else ()
    return sorted({*common, *with_body, *of_change, *operation.problems})


def _answer(status: int, schema: str | None) -> Schema:
    described: Schema = {"description": title(status)}
    headers = {"ETag": "Names this version of the service, for If-Match."} if schema == "Service" else {}
    if status == 201:
        headers["Location"] = "Where it can be read."
    if headers:
        described["headers"] = _headers(headers)
    if schema is not None:
        described["content"] = {"application/json": _content(schema)}
    return described


def _content(schema: str) -> Schema:
    content: Schema = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    if schema in example.EXAMPLES:
        content["example"] = example.EXAMPLES[schema]
    return content


def _refusal(operation: str, status: int) -> Schema:
    told = problem_example.OWN.get((operation, status))
    return _problem(status, told) if told else {"$ref": f"#/components/responses/Problem{status}"}


def _problem(status: int, told: problem_example.Told) -> Schema:
    shown = problem_example.problem(status, told)
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "example": shown}
    described: Schema = {"description": title(status), "content": {PROBLEM_JSON.decode(): content}}
    if status in _PROBLEM_HEADERS:
        described["headers"] = _headers(_PROBLEM_HEADERS[status])
    return described


def _headers(told: dict[str, str]) -> Schema:
    return {name: {"description": meaning, "schema": {"type": "string"}} for name, meaning in told.items()}
