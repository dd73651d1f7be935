"""The OpenAPI document: valid, complete, and true of what the server answers."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from openapi_spec_validator.validation.exceptions import OpenAPIValidationError

from gateway.control.api.openapi import document
from gateway.control.api.operation import BASE, OPERATIONS


def schema_of(described: dict[str, Any], name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}", "components": described["components"]}


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
    """Every example in the document is an instance of the schema it stands beside."""
    described = document()
    contents = [
        content
        for methods in described["paths"].values()
        for operation in methods.values()
        for place in (operation.get("requestBody", {}), *operation["responses"].values())
        for content in place.get("content", {}).values()
    ] + list(described["components"]["responses"]["Problem"]["content"].values())
    examples = [content for content in contents if "example" in content]
    assert len(examples) > 10
    for content in examples:
        schema = {**content["schema"], "components": described["components"]}
        jsonschema.validate(content["example"], schema, format_checker=jsonschema.FormatChecker())


@pytest.mark.parametrize(
    ("method", "path", "schema"),
    [
        ("GET", "/services", "ServicePage"),
        ("GET", "/services/diabetes", "Service"),
        ("GET", "/services/diabetes/status", "Status"),
        ("GET", "/services/diabetes/keys", "Keys"),
        ("POST", "/services/diabetes/keys/primary/regenerate", "RegeneratedKey"),
        ("POST", "/services/diabetes/token", "Token"),
        ("GET", "/signing-keys", "SigningKeys"),
        ("GET", "/services/nothing", "Problem"),
    ],
)
async def test_answers_fit_their_schemas(api, method: str, path: str, schema: str) -> None:
    """What the server answers is what the document says."""
    await api.put(token_auth_enabled=True, cors={"allowed_origins": ["https://app.example.com"]})
    described = await (await api("GET", "/openapi.json")).json()
    answer = await (await api(method, path)).json()
    jsonschema.validate(answer, schema_of(described, schema), format_checker=jsonschema.FormatChecker())
