"""The admin port's application: the routes of the operation table, and the frame around them."""

from __future__ import annotations

from aiohttp import web

from gateway.control.api.audit import AUDIT, AuditOperations
from gateway.control.api.body import MAX_BODY_BYTES, answer
from gateway.control.api.callers import CallerOperations
from gateway.control.api.credential import Gate
from gateway.control.api.keys import KeyOperations
from gateway.control.api.master_keys import MasterKeyOperations
from gateway.control.api.openapi import document
from gateway.control.api.operation import BASE
from gateway.control.api.operations import OPERATIONS
from gateway.control.api.problem import Handler, frame, problems
from gateway.control.api.replay import Replay
from gateway.control.api.services import ServiceOperations
from gateway.control.api.tokens import TokenOperations
from gateway.control.audit import AuditLog


def application(
    *,
    gate: Gate,
    services: ServiceOperations,
    keys: KeyOperations,
    callers: CallerOperations,
    tokens: TokenOperations,
    master_keys: MasterKeyOperations,
    audit: AuditLog,
) -> web.Application:
    """The admin API. The portal adds its pages to it: they share the frame and not the credential."""
    described = document()

    async def get_openapi(_request: web.Request) -> web.Response:
        return answer(described)

    handlers: dict[str, Handler] = {
        "list_services": services.list,
        "get_service": services.get,
        "put_service": services.put,
        "patch_service": services.patch,
        "delete_service": services.delete,
        "get_status": services.status,
        "get_keys": keys.list,
        "get_key": keys.get,
        "patch_key": keys.patch,
        "regenerate_key": keys.regenerate,
        "list_callers": callers.list,
        "create_caller": callers.create,
        "get_caller": callers.get,
        "patch_caller": callers.patch,
        "regenerate_caller_key": callers.regenerate,
        "revoke_caller": callers.delete,
        "issue_token": tokens.issue,
        "revoke_tokens": tokens.revoke,
        "list_signing_keys": tokens.keys,
        "rotate_signing_keys": tokens.rotate,
        "get_master_key": master_keys.get,
        "rewrap_keys": master_keys.rewrap,
        "list_audit": AuditOperations(audit).list,
        "get_openapi": get_openapi,
    }
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[frame, gate.admit, problems, Replay().repeat])
    app[AUDIT] = audit
    for operation in OPERATIONS:
        app.router.add_route(operation.method, BASE + operation.path, handlers[operation.id], name=operation.id)
    return app
