"""What the control process does for requests on the scoring port: an HTTP application that only workers reach.

A worker decided which service is meant and whether its addresses, origins and body limits let the request in; it tells
the client's address in `x-forwarded-for`, and who called in `x-scoregate-` fields, which clients cannot send. Where the
credential is none of a worker's, it is in `authorization` and judged here.
"""

from __future__ import annotations

from aiohttp import web

from gateway.control.api.attempts import Attempts
from gateway.control.api.audit import AUDIT, entry
from gateway.control.api.body import answer, parsed, read_json
from gateway.control.api.credential import Identities, bearer, identify
from gateway.control.api.problem import ACTOR, Handler, frame, problem, problems
from gateway.control.api.tokens import TOKEN, document
from gateway.control.audit import AuditLog
from gateway.control.catalog import Catalog
from gateway.control.refusal import Refused
from gateway.control.tokens import Tokens

MAX_BODY_BYTES = 65_536
REALM = "scoregate"
EXCHANGE = "exchange_token"
"""The name of the operation in the audit log."""


class Exchange:
    """Gives tokens for bearer tokens of the provider whose holder has the role `caller` for the service."""

    def __init__(self, catalog: Catalog, tokens: Tokens, identities: Identities, attempts: Attempts) -> None:
        self._catalog = catalog
        self._tokens = tokens
        self._identities = identities
        self._attempts = attempts

    async def token(self, request: web.Request) -> web.Response:
        """A scoring token for whom the bearer token proves."""
        try:
            subject = await self._admitted(request)
        except Refused as refused:
            return problem(request, self._attempts.refused(request, refused, EXCHANGE))
        service = self._catalog.get(request.match_info["name"])
        asked = parsed(TOKEN, await read_json(request, empty=b"{}"))
        issued = self._tokens.issue(service, subject, asked.verbs, asked.lifetime_seconds)
        await request.app[AUDIT].add(entry(request, target=issued.token_id, action=EXCHANGE))
        return answer(document(issued))

    async def _admitted(self, request: web.Request) -> str:
        presented = bearer(request, "the token of your identity provider", REALM)
        identity = await identify(self._identities, presented, REALM)
        request[ACTOR] = identity.subject
        name = request.match_info["name"]
        if not identity.grants.allow("caller", name):
            challenge = f'Bearer realm="{REALM}", error="insufficient_scope"'
            detail = f"{identity.subject} has no role at {name}: the least is caller (admin.oidc.roles)."
            raise Refused(403, detail, WWW_Authenticate=challenge)
        return identity.subject


def application(exchange: Exchange | None, audit: AuditLog) -> web.Application:
    """`exchange`: None where `tokens.exchange` is off."""
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[from_afar, frame, problems])
    app[AUDIT] = audit
    if exchange is not None:
        app.router.add_post("/services/{name}/token", exchange.token)
    return app


@web.middleware
async def from_afar(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The client is the one that the worker names, not the worker."""
    return await handler(request.clone(remote=request.headers.get("x-forwarded-for", "")))
