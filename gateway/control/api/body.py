"""Reads request bodies: JSON into typed values, every fault with its path; merge patches; JSON answers."""

from __future__ import annotations

from typing import Any, TypeVar

from aiohttp import web
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from gateway.control.api.operation import JSON, MERGE_PATCH
from gateway.control.refusal import Fault, Refused

MAX_BODY_BYTES = 1 << 20
_REASONS = {"unexpected_keyword_argument": "is no known field", "missing": "is required"}

T = TypeVar("T")


async def read_json(request: web.Request, *, empty: bytes | None = None) -> bytes:
    """The body, known to be JSON. `empty` stands for a body that was left out. Raises Refused (400, 415)."""
    body = await request.read()
    if not body and empty is not None:
        return empty
    if request.headers.get("Content-Type") and request.content_type not in (JSON, MERGE_PATCH):
        raise Refused(415, f"The body is declared as {request.content_type}; send JSON with Content-Type: {JSON}.")
    if not body:
        raise Refused(400, "The body is empty; send a JSON object.", (Fault("", "is empty"),))
    try:
        from_json(body, allow_inf_nan=False, cache_strings=False)
    except ValueError as error:
        raise Refused(400, f"The body is no JSON: {error}.", (Fault("", f"is no JSON: {error}"),)) from None
    return body


def parsed(adapter: TypeAdapter[T], body: bytes) -> T:
    """The typed value. Raises Refused (400) with every fault and its path."""
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        faults = tuple(Fault(_path(fault["loc"]), _reason(fault["type"], fault["msg"])) for fault in found)
        told = "; ".join(f"{fault.path or 'the body'}: {fault.reason}" for fault in faults[:3])
        raise Refused(400, f"The body does not fit: {told}.", faults) from None


def merge(target: Any, patch: Any) -> Any:
    """RFC 7396: members of an object are merged, null removes, anything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


def answer(document: object, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    body = to_json(document, inf_nan_mode="null")
    return web.Response(body=body, status=status, content_type=JSON, headers=headers)


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location if part != "[key]")


def _reason(kind: str, message: str) -> str:
    return _REASONS.get(kind) or message.removeprefix("Value error, ").replace("Input should", "should")
