"""The frame around every answer of the admin port: request id, `no-store`, problem documents, the operation log."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Awaitable, Callable

from aiohttp import web
from pydantic_core import to_json

from gateway.control.api.operation import Operation
from gateway.control.api.operations import BY_ID
from gateway.control.refusal import Refused
from gateway.core.grant import Grants
from gateway.core.problem import PROBLEM_JSON, title

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
REQUEST_ID = "x-request-id"
ID = web.RequestKey("id", str)
ACTOR = web.RequestKey("actor", str)
GRANTS = web.RequestKey("grants", Grants)
UNKNOWN_ACTOR = "-"
SHOW_KEYS = frozenset({"get_keys", "get_caller"})

log = logging.getLogger("gateway.control")
_ID = re.compile(r"[-._A-Za-z0-9]{1,128}")


def operation_of(request: web.Request) -> Operation | None:
    """The operation that a request asks for; None when there is none."""
    return BY_ID.get(request.match_info.route.name or "")


def problem(request: web.Request, refused: Refused) -> web.Response:
    """The answer to a refused request (RFC 9457)."""
    document: dict[str, object] = {
        "type": "about:blank",
        "title": title(refused.status),
        "status": refused.status,
        "detail": refused.detail,
        "request_id": request[ID],
    }
    if refused.faults:
        document["errors"] = [{"path": fault.path, "reason": fault.reason} for fault in refused.faults]
    return web.Response(
        body=to_json(document), status=refused.status, content_type=PROBLEM_JSON.decode(), headers=refused.headers
    )


@web.middleware
async def frame(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Outermost: no answer leaves without an id, none may be stored, none tells about our insides."""
    given = request.headers.get(REQUEST_ID, "")
    request[ID] = given if _ID.fullmatch(given) else secrets.token_hex(16)
    request[ACTOR], request[GRANTS] = UNKNOWN_ACTOR, Grants()
    try:
        response = await handler(request)
    except Exception:
        log.exception("an operation failed", extra={"request_id": request[ID]})
        response = problem(request, Refused(500, "The gateway failed; its log tells more under this request_id."))
    response.headers[REQUEST_ID] = request[ID]
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    _log_operation(request, response.status)
    return response


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refusals, and what the framework itself refuses, as problem documents."""
    try:
        return await handler(request)
    except Refused as refused:
        return problem(request, refused)
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        return problem(request, Refused(405, f"{request.method} is not possible here, only {allowed}.", Allow=allowed))
    except web.HTTPNotFound:
        return problem(
            request, Refused(404, f"There is nothing at {request.path}. GET /v1/openapi.json lists all paths.")
        )
    except web.HTTPRequestEntityTooLarge:
        return problem(request, Refused(413, "The body is larger than 1 MiB (1,048,576 bytes)."))


def _log_operation(request: web.Request, status: int) -> None:
    """Who, what, result. Reading keys is told like a change."""
    operation = operation_of(request)
    if operation is None or not (operation.mutates or operation.id in SHOW_KEYS or status in (401, 403)):
        return
    fields = {
        "actor": request[ACTOR],
        "source": request.remote,
        "action": operation.id,
        "service": request.match_info.get("name"),
        "target": request.match_info.get("slot") or request.match_info.get("caller"),
        "result": status,
        "request_id": request[ID],
    }
    level = logging.WARNING if status in (401, 403) or status >= 500 else logging.INFO
    told = " ".join(f"{name}={value}" for name, value in fields.items() if value is not None)
    log.log(level, "admin operation: %s", told, extra=fields)
