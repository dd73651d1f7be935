"""The admin port's application: the routes of the operation table, and the frame around them."""

from __future__ import annotations

from aiohttp import web

from gateway.control.api.body import MAX_BODY_BYTES, answer
from gateway.control.api.credential import Gate
from gateway.control.api.keys import KeyOperations
from gateway.control.api.openapi import document
from gateway.control.api.operation import BASE, OPERATIONS
from gateway.control.api.problem import Handler, frame, problems
from gateway.control.api.replay import Replay
from gateway.control.api.services import ServiceOperations


def application(*, gate: Gate, services: ServiceOperations, keys: KeyOperations) -> web.Application:
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
        "get_keys": keys.get,
        "regenerate_key": keys.regenerate,
        "issue_token": keys.token,
        "list_signing_keys": keys.signing_keys,
        "get_openapi": get_openapi,
    }
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[frame, gate.admit, problems, Replay().repeat])
    for operation in OPERATIONS:
        app.router.add_route(operation.method, BASE + operation.path, handlers[operation.id], name=operation.id)
    return app
