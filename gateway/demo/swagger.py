"""The description that the demo's own model server gives of itself: Swagger 2.0, OpenAPI 3.0 and 3.1, from one table.

Like the Azure server's for an undecorated `run()`, it knows the routes but not the shape of the data.
"""

from __future__ import annotations

from typing import Any

_ANY_OBJECT = {"type": "object", "example": {}}
_ERROR = {"type": "object", "properties": {"message": {"type": "string"}}}
_BEARER = {"type": "apiKey", "name": "Authorization", "in": "header", "description": "For example: Bearer abc123"}
_SCHEMAS = {"ServiceInput": _ANY_OBJECT, "ServiceOutput": _ANY_OBJECT, "ErrorResponse": _ERROR}
_OPENAPI = {"3": "3.0.3", "3.0": "3.0.3", "3.1": "3.1.0"}


def document(version: str, service: str) -> dict[str, Any] | None:
    """The document for `?version=`: 2, 2.0, 3, 3.0 or 3.1; None for any other."""
    info = {"title": service, "version": "1.0", "description": f"API of the model service {service}"}
    if version in ("2", "2.0"):
        return _swagger_2(info)
    if version in _OPENAPI:
        return _openapi_3(_OPENAPI[version], info)
    return None


def _swagger_2(info: dict[str, str]) -> dict[str, Any]:
    body = {"name": "serviceInputPayload", "in": "body", "schema": {"$ref": "#/definitions/ServiceInput"}}
    answer = {"description": "The answer of run()", "schema": {"$ref": "#/definitions/ServiceOutput"}}
    error = {"description": "The reason of the failure", "schema": {"$ref": "#/definitions/ErrorResponse"}}
    score = {"parameters": [body], "responses": {"200": answer, "default": error}}
    return {
        "swagger": "2.0",
        "info": info,
        "schemes": ["https"],
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "securityDefinitions": {"Bearer": _BEARER},
        "paths": _paths(score),
        "definitions": _SCHEMAS,
    }


def _openapi_3(openapi: str, info: dict[str, str]) -> dict[str, Any]:
    def content(name: str) -> dict[str, Any]:
        return {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}}

    answer = {"description": "The answer of run()", **content("ServiceOutput")}
    error = {"description": "The reason of the failure", **content("ErrorResponse")}
    score = {"requestBody": content("ServiceInput"), "responses": {"200": answer, "default": error}}
    return {
        "openapi": openapi,
        "info": info,
        "paths": _paths(score),
        "components": {"schemas": _SCHEMAS, "securitySchemes": {"Bearer": _BEARER}},
    }


def _paths(score: dict[str, Any]) -> dict[str, Any]:
    plain = {"responses": {"200": {"description": "OK"}}}
    return {
        "/": {"get": {"operationId": "ServiceHealthCheck", **plain}},
        "/score": {"post": {"operationId": "RunMLService", "security": [{"Bearer": []}], **score}},
        "/swagger.json": {"get": {"operationId": "GetSwaggerSpec", **plain}},
    }
