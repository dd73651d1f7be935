"""The OpenAPI document: valid, complete, and true of what the server answers."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from openapi_spec_validator.validation.exceptions import OpenAPIValidationError

from gateway.control.api.openapi import document
from gateway.control.api.operation import BASE, Operation
from gateway.control.api.operations import OPERATIONS
from gateway.control.api.problem_example import FRAME, OWN


def schema_of(described: dict[str, Any], name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}", "components": described["components"]}


def operations(described: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for methods in described["paths"].values() for operation in methods.values()]


def resolved(described: dict[str, Any], place: dict[str, Any]) -> dict[str, Any]:
    """What a reference to a response stands for."""
    reference = place.get("$ref")
    return place if reference is None else described["components"]["responses"][reference.rpartition("/")[2]]


def sealed(schema: Any) -> Any:
    """The same schema, refusing what it does not name: no answer may say more than the document tells."""
    if isinstance(schema, list):
        return [sealed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: sealed(one) for name, one in schema.items()}
    return inner | {"additionalProperties": False} if "properties" in inner and "required" in inner else inner


def test_valid() -> None:
    """The validator finds no fault; the control, a document with a broken reference, is caught."""
    OpenAPIV31SpecValidator(document()).validate()
    broken = copy.deepcopy(document())
    broken["paths"]["/v1/services"]["get"]["responses"] = "nothing"
    with pytest.raises(OpenAPIValidationError):
        OpenAPIV31SpecValidator(broken).validate()


async def test_every_route_is_described(rig) -> None:
    """Routes under /v1 and described operations are the same set."""
    routes = {
        (route.method.lower(), route.resource.canonical)
        for route in rig.app.router.routes()
        if route.resource.canonical.startswith(BASE)
    }
    described = {(method, path) for path, methods in document()["paths"].items() for method in methods}
    assert routes == described
    assert len(routes) == len(OPERATIONS)


def test_examples_fit_their_schemas() -> None:
    """Every body and every answer has an example, which is an instance of the schema it stands beside."""
    described = document()
    contents = [
        content
        for operation in operations(described)
        for place in (operation.get("requestBody", {}), *operation["responses"].values())
        for content in resolved(described, place).get("content", {}).values()
        if content["schema"] != {"$ref": "#/components/schemas/Document"}
    ]
    assert len(contents) > 200
    for content in contents:
        schema = {**content["schema"], "components": described["components"]}
        jsonschema.validate(content["example"], schema, format_checker=jsonschema.FormatChecker())


def test_every_refusal_has_an_example_of_its_own() -> None:
    """What an operation itself refuses is shown as it is told there, with the status it stands under.

    404 is mostly told alike, and so is 409 where only another change can be in the way.
    """
    described = document()
    for operation in OPERATIONS:
        responses = described["paths"][BASE + operation.path][operation.method.lower()]["responses"]
        for status, response in responses.items():
            for content in resolved(described, response).get("content", {}).values():
                if content["schema"]["$ref"].endswith("/Problem"):
                    assert content["example"]["status"] == int(status)
        shared = {status for status in operation.problems if "$ref" in responses[str(status)]}
        assert shared <= {404, 409}, f"give {operation.id} examples of {shared} in problem_example.OWN"
    unused = {status for _, status in OWN if status not in FRAME} - {400, 412}
    assert not unused
    assert {key for key, _ in OWN} <= {operation.id for operation in OPERATIONS}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
async def test_every_operation_answers_as_described(api, operation: Operation) -> None:
    """Called with its own examples, each succeeds with a status, a type and a body that the document names, no more."""
    await api.put(token_auth_enabled=True, cors={"allowed_origins": ["https://app.example.com"]})
    if operation.id != "create_caller":
        await api("POST", "/services/diabetes/callers", {"name": "acme"})
    described = await (await api("GET", "/openapi.json")).json()
    one = described["paths"][BASE + operation.path][operation.method.lower()]
    shown = {parameter["name"]: parameter["example"] for parameter in one["parameters"] if parameter["in"] == "path"}
    sent: dict[str, Any] = {}
    for kind, content in one.get("requestBody", {}).get("content", {}).items():
        sent = {"data": json.dumps(content["example"]), "headers": {"Content-Type": kind}}
    answer = await api(operation.method, operation.path.format(**shown), **sent)
    assert answer.status in operation.answers, await answer.text()
    response = one["responses"][str(answer.status)]
    assert {name.lower() for name in response.get("headers", {})} <= {name.lower() for name in answer.headers}
    if answer.status == 204:
        assert await answer.read() == b""
        return
    assert [answer.content_type] == list(response["content"])
    schema = sealed({**response["content"][answer.content_type]["schema"], "components": described["components"]})
    jsonschema.validate(await answer.json(), schema, format_checker=jsonschema.FormatChecker())


async def test_a_refusal_is_as_described(api) -> None:
    """A problem document says no more than its schema; the control, a member that is not described, is caught."""
    described = document()
    schema = sealed(schema_of(described, "Problem"))
    problem = await (await api("GET", "/services/nothing")).json()
    jsonschema.validate(problem, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(problem | {"secret": 1}, schema)
