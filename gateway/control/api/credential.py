"""Who calls the admin API, and may they? Today one credential: the bootstrap token, whose bearer is an owner."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Literal

from aiohttp import web

from gateway.control.api.operation import BASE, Operation
from gateway.control.api.problem import ACTOR, Handler, operation_of, problem
from gateway.control.refusal import Refused
from gateway.core import key
from gateway.core.settings import Role

RANK: dict[Role, int] = {"caller": 0, "reader": 1, "contributor": 2, "owner": 3}
ANYONE = frozenset({"get_openapi"})
"""Operations without a credential."""


@dataclass(frozen=True, slots=True)
class Actor:
    """A caller of the admin API."""

    name: str
    role: Role


class AdminToken:
    """The bootstrap token, kept as a keyed digest: comparing tells nothing about it, and neither does a dump."""

    __slots__ = ("_digest", "_salt")

    def __init__(self, token: str) -> None:
        self._salt = secrets.token_bytes(32)
        self._digest = self._of(token)

    def actor(self, presented: str) -> Actor | None:
        """Whose token this is."""
        return Actor("admin", "owner") if hmac.compare_digest(self._of(presented), self._digest) else None

    def _of(self, token: str) -> bytes:
        return hmac.digest(self._salt, token.encode("utf-8", "surrogateescape"), hashlib.sha256)


class Gate:
    """Holds the middleware (`admit`) that opens `/v1`. Paths that do not exist are told to callers only."""

    def __init__(self, token: AdminToken, reveal_keys: Role | Literal["never"]) -> None:
        self._token = token
        self._reveal_keys = reveal_keys

    @web.middleware
    async def admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse with 401 or 403, or go on with the actor known."""
        operation = operation_of(request)
        if operation.id not in ANYONE if operation else _is_api(request.path):
            try:
                self._require(request, operation)
            except Refused as refused:
                return problem(request, refused)
        return await handler(request)

    def _require(self, request: web.Request, operation: Operation | None) -> None:
        actor = self._identify(request)
        request[ACTOR] = actor.name
        least = operation.role if operation else None
        if operation and operation.id == "get_keys":
            if self._reveal_keys == "never":
                raise Refused(403, "admin.reveal_keys is `never`: a key is shown once, when it is regenerated.")
            least = self._reveal_keys
        if least is not None and RANK[actor.role] < RANK[least]:
            raise Refused(403, f"This takes the role {least}; {actor.name} is {actor.role}.")

    def _identify(self, request: web.Request) -> Actor:
        values = request.headers.getall("Authorization", [])
        if not values:
            raise _unauthorized("No credential. Send Authorization: Bearer <admin token>.", error=False)
        scheme, _, presented = values[0].partition(" ")
        presented = presented.strip()
        if len(values) > 1 or scheme.lower() != "bearer" or not presented:
            raise _unauthorized("Send exactly one header Authorization: Bearer <admin token>.")
        actor = self._token.actor(presented)
        if actor is None and presented.startswith(key.PREFIX):
            raise _unauthorized("This is a scoring key; it opens its service, never the admin API.")
        if actor is None:
            raise _unauthorized("This is not the admin token; the file named admin.token_file holds it.")
        return actor


def _is_api(path: str) -> bool:
    return path == BASE or path.startswith(BASE + "/")


def _unauthorized(detail: str, *, error: bool = True) -> Refused:
    challenge = 'Bearer realm="scoregate admin"' + (', error="invalid_token"' if error else "")
    return Refused(401, detail, WWW_Authenticate=challenge)
