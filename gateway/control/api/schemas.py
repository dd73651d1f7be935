"""The schemas of the OpenAPI document: of bodies from the types that read them, of answers written out here."""

from __future__ import annotations

from typing import Any

from gateway.control.api.callers import CREATE as CREATE_CALLER
from gateway.control.api.callers import REGENERATE as REGENERATE_CALLER
from gateway.control.api.keys import PATCH, REGENERATE
from gateway.control.api.tokens import REVOKE, ROTATE, TOKEN
from gateway.control.api.view import SPEC
from gateway.core.record import SLOTS
from gateway.core.spec import SERVICE_NAME_PATTERN

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_TIME: Schema = {"type": "string", "format": "date-time"}
_NO_TIME: Schema = {"type": ["string", "null"], "format": "date-time"}
_STATE: Schema = {"enum": ["Healthy", "Unhealthy", "Transitioning"]}
_BACKEND_STATE: Schema = {
    "enum": ["Healthy", "Unhealthy", "Transitioning", "Ejected"],
    "description": "Ejected: its probes succeed, but it failed requests, and gets none for a while.",
}


def schemas() -> dict[str, Schema]:
    """Every schema by name."""
    template = "#/components/schemas/{model}"
    read: dict[str, Schema] = {}
    for adapter in (SPEC, REGENERATE, PATCH, TOKEN, REVOKE, ROTATE, CREATE_CALLER, REGENERATE_CALLER):
        schema = adapter.json_schema(ref_template=template)
        read |= schema.pop("$defs", {})
        read[schema["title"]] = schema
    return {
        **read,
        "ServicePatch": _patch("ServiceSpec", _merged(read["ServiceSpec"]), "objects are merged member by member"),
        "CallerPatch": _patch(
            "CallerRequest, without the name", _changeable(read["CallerRequest"]), "lists are replaced"
        ),
        "Service": _service(template),
        "ServicePage": _object({"value": _list_of("Service"), "next": {**_TEXT, "format": "uri"}}, optional=("next",)),
        "Status": _status(),
        "Keys": _object({"primary_key": _TEXT, "secondary_key": _TEXT, "slots": _slots()}),
        "KeySlot": _object({"slot": {"enum": list(SLOTS)}, **_slot()}),
        "RegeneratedKey": _object(
            {
                "slot": {"enum": list(SLOTS)},
                "value": _TEXT,
                "id": _TEXT,
                "grace_until": _NO_TIME,
                "acknowledged": _acknowledged(),
            }
        ),
        "MasterKey": _object(_master_key()),
        "RewrappedKeys": _object({"rewrapped": _COUNT, **_master_key()}),
        "CallerPage": _object({"value": _list_of("Caller"), "next": {**_TEXT, "format": "uri"}}, optional=("next",)),
        "Caller": _object(_caller(read["CallerRequest"])),
        "ShownCaller": _object({**_caller(read["CallerRequest"]), "key": {"type": ["string", "null"]}}),
        "CallerWithKey": _object(
            {**_caller(read["CallerRequest"]), "key": _TEXT, "acknowledged": _acknowledged()},
        ),
        "Token": _object({"token": _TEXT, "token_type": {"const": "Bearer"}, "refresh_by": _TIME, "expires_at": _TIME}),
        "AuditPage": _object({"value": _list_of("AuditEntry"), "next": {**_TEXT, "format": "uri"}}, optional=("next",)),
        "AuditEntry": _audit_entry(),
        "RevokedTokens": {
            "oneOf": [_object({"jti": _TEXT}), _object({"revoked_before": _TIME})],
            "description": "The token, or the time before which the tokens were issued that open nothing any more.",
        },
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
    backend = _object(
        {"url": _TEXT, "address": address, "state": _BACKEND_STATE, "outstanding": _COUNT, "since": _TIME}
    )
    deployment = _object({"traffic": _COUNT, "backends": {"type": "array", "items": backend}})
    return _object(
        {
            "state": _STATE,
            "deployments": {"type": "object", "additionalProperties": deployment},
            "queue": _object({"length": _COUNT}),
            "utilization": {"type": ["number", "null"], "description": "(busy + queued) / capacity"},
        }
    )


def _slot() -> dict[str, Schema]:
    return {
        "id": _TEXT,
        "created_at": _TIME,
        "expires_at": _NO_TIME,
        **_life(),
        "safe_to_regenerate": {"type": "boolean"},
        "advice": {**_TEXT, "description": "why it is safe to regenerate, or why not"},
    }


def _slots() -> Schema:
    return _object({slot: _object(_slot()) for slot in SLOTS})


def _life() -> dict[str, Schema]:
    used: dict[str, Schema] = {"last_used_at": _NO_TIME, "uses_24h": _COUNT}
    former = _object({"id": _TEXT, **used})
    described = "the key before this one, while it still opens"
    return {"grace_until": _NO_TIME, **used, "former": {"anyOf": [former, {"type": "null"}], "description": described}}


def _master_key() -> dict[str, Schema]:
    shown: dict[str, Schema] = {"id": _TEXT, "file": _TEXT, "data_keys": _COUNT}
    previous = _object({**shown, "is_needed": {"type": "boolean"}})
    return {**shown, "previous": {"type": "array", "items": previous}}


def _caller(asked: Schema) -> dict[str, Schema]:
    return {
        "name": asked["properties"]["name"],
        "id": _TEXT,
        **_changeable(asked),
        "expires_at": _NO_TIME,
        "created_at": _TIME,
        "regenerated_at": _TIME,
        **_life(),
    }


def _changeable(asked: Schema) -> dict[str, Schema]:
    return {name: schema for name, schema in asked["properties"].items() if name != "name"}


def _merged(asked: Schema) -> dict[str, Schema]:
    """Members that are objects may be sent in part."""
    return {name: _in_part(schema) for name, schema in asked["properties"].items()}


def _in_part(schema: Schema) -> Schema:
    """A schema in which any object stands for a part of one: what is left out is there already."""
    if "$ref" in schema or schema.get("type") == "object":
        return {"type": "object"}
    return schema | ({"anyOf": [_in_part(one) for one in schema["anyOf"]]} if "anyOf" in schema else {})


def _patch(of: str, properties: dict[str, Schema], how: str) -> Schema:
    described = f"Members of {of}; null takes one back to its default; {how}."
    nullable = {name: {"anyOf": [schema, {"type": "null"}]} if schema else {} for name, schema in properties.items()}
    return {"type": "object", "description": described, "properties": nullable, "additionalProperties": False}


def _acknowledged() -> Schema:
    return _object({"workers": _COUNT, "replicas": _COUNT, "of": _COUNT})


def _audit_entry() -> Schema:
    names = ("actor", "from", "action", "service", "target", "result")
    return _object({"id": {"type": "integer", "minimum": 1}, "at": _TIME, **dict.fromkeys(names, _TEXT)})


def _signing_key() -> Schema:
    return _object({"kid": _TEXT, "state": {"enum": ["next", "active", "retiring"]}, "not_after": _NO_TIME})
