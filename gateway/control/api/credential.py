"""Who calls the admin API, and may they? The bootstrap token's bearer is an owner; others come by OpenID Connect."""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
from dataclasses import dataclass
from typing import Literal, Protocol

from aiohttp import web

from gateway.control.api.attempts import Attempts
from gateway.control.api.operation import BASE, Operation
from gateway.control.api.problem import ACTOR, GRANTS, Handler, operation_of, problem
from gateway.control.oidc import OidcIdentity, ProviderAway
from gateway.control.refusal import Refused
from gateway.core import key
from gateway.core.grant import Grants
from gateway.core.jws import TokenError
from gateway.core.settings import Role
from gateway.core.token import looks_like_token

REALM = "scoregate admin"
ANYONE = frozenset({"get_openapi"})
"""Operations without a credential."""


class Identities(Protocol):
    """Whom bearer tokens of a provider prove: `oidc.Identities`."""

    async def claims(self, bearer: str) -> OidcIdentity:
        """Who this is. Raises TokenError, ProviderAway."""


@dataclass(frozen=True, slots=True)
class Actor:
    """A caller of the admin API."""

    name: str
    grants: Grants


class AdminToken:
    """The bootstrap token, kept as a keyed digest: comparing tells nothing about it, and neither does a dump."""

    __slots__ = ("_digest", "_salt")

    def __init__(self, token: str) -> None:
        self._salt = secrets.token_bytes(32)
        self.replace(token)

    def replace(self, token: str) -> None:
        """This one opens from now on, and the one before it no more."""
        self._digest = self._of(token)

    def actor(self, presented: str) -> Actor | None:
        """Whose token this is."""
        return Actor("admin", Grants("owner")) if hmac.compare_digest(self._of(presented), self._digest) else None

    def _of(self, token: str) -> bytes:
        return hmac.digest(self._salt, token.encode("utf-8", "surrogateescape"), hashlib.sha256)


class Gate:
    """Holds the middleware (`admit`) that opens `/v1`. Paths that do not exist are told to callers only."""

    def __init__(
        self,
        token: AdminToken,
        reveal_keys: Role | Literal["never"],
        attempts: Attempts,
        identities: Identities | None = None,
    ) -> None:
        """`identities`: None when only the bootstrap token opens."""
        self._token = token
        self._reveal_keys = reveal_keys
        self._attempts = attempts
        self._identities = identities

    @web.middleware
    async def admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse with 401, 403 or 429, or go on with the actor known."""
        operation = operation_of(request)
        if operation.id not in ANYONE if operation else _is_api(request.path):
            try:
                actor = await self._identify(request)
                request[ACTOR], request[GRANTS] = actor.name, actor.grants
                if operation:
                    self._require(request, operation, actor)
            except Refused as refused:
                return problem(request, self._attempts.refused(request, refused))
        return await handler(request)

    def _require(self, request: web.Request, operation: Operation, actor: Actor) -> None:
        least: Role | Literal["never"] | None = operation.role
        if operation.id == "get_keys":
            least = self._reveal_keys
            if least == "never":
                raise Refused(403, "admin.reveal_keys is `never`: a key is shown once, when it is regenerated.")
        service = request.match_info.get("name") or (request.query.get("service") if operation.by_service else None)
        if least is None or least == "never" or actor.grants.allow(least, service):
            return
        if operation.partial and actor.grants.allow_somewhere(least):
            return
        has = actor.grants.role(service)
        told = f"is {has}" if has else "has no role"
        raise Refused(403, f"This takes the role {least}; {actor.name} {told} {'there' if service else 'everywhere'}.")

    async def _identify(self, request: web.Request) -> Actor:
        presented = bearer(request)
        actor = self._token.actor(presented)
        if actor is not None:
            return actor
        if presented.startswith(key.PREFIX):
            raise _unauthorized("This is a scoring key; it opens its service, never the admin API.")
        if self._identities is None or not looks_like_token(presented.encode("utf-8", "surrogateescape")):
            raise _unauthorized("This is not the admin token; the file named admin.token_file holds it.")
        identity = await identify(self._identities, presented)
        return Actor(identity.subject, identity.grants)


def bearer(request: web.Request, what: str = "admin token", realm: str = REALM) -> str:
    """The credential of a request, which should be `what`. Raises Refused (401)."""
    values = request.headers.getall("Authorization", [])
    if not values:
        raise _unauthorized(f"No credential. Send Authorization: Bearer <{what}>.", realm, error=False)
    scheme, _, presented = values[0].partition(" ")
    presented = presented.strip()
    if len(values) > 1 or scheme.lower() != "bearer" or not presented:
        raise _unauthorized(f"Send exactly one header Authorization: Bearer <{what}>.", realm)
    return presented


async def identify(identities: Identities, presented: str, realm: str = REALM) -> OidcIdentity:
    """Whom a bearer token of the provider proves. Raises Refused: 401, or 503 while the provider is away."""
    try:
        return await identities.claims(presented)
    except TokenError as error:
        raise _unauthorized(str(error), realm) from None
    except ProviderAway as away:
        raise Refused(503, str(away), Retry_After=str(math.ceil(away.seconds))) from None


def _is_api(path: str) -> bool:
    return path == BASE or path.startswith(BASE + "/")


def _unauthorized(detail: str, realm: str = REALM, *, error: bool = True) -> Refused:
    challenge = f'Bearer realm="{realm}"' + (', error="invalid_token"' if error else "")
    return Refused(401, detail, WWW_Authenticate=challenge)
