"""Operations on tokens: issue and revoke them, show and rotate the keys that sign them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from aiohttp import web
from pydantic import Field, TypeAdapter

from gateway.control.api.audit import AUDIT, entry
from gateway.control.api.body import answer, parsed, read_json
from gateway.control.api.problem import ACTOR
from gateway.control.api.view import moment, second
from gateway.control.catalog import Catalog
from gateway.control.refusal import Fault, Refused
from gateway.control.tokens import Issued, Tokens
from gateway.core.record import SigningKeyRecord
from gateway.core.spec import STRICT, Positive
from gateway.core.token import MAX_SUBJECT, is_subject
from gateway.core.verb import Verb


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """`verbs`: what the token is for; left out: everything. `lifetime_seconds`: left out: as configured."""

    verbs: Annotated[tuple[Verb, ...], Field(min_length=1)] | None = None
    lifetime_seconds: Positive | None = None

    __pydantic_config__ = STRICT


@dataclass(frozen=True, slots=True)
class RevokeRequest:
    """`jti`: one token. `subject`: all tokens of this subject issued before now. Neither: all issued before now."""

    jti: Annotated[str | None, Field(pattern=r"^[\x21-\x7e]{1,128}$")] = None
    subject: Annotated[str | None, Field(min_length=1, max_length=MAX_SUBJECT)] = None

    __pydantic_config__ = STRICT


@dataclass(frozen=True, slots=True)
class RotateRequest:
    """`revoke`: the keys of before verify no more, so that no token of any service opens anything."""

    revoke: bool = False

    __pydantic_config__ = STRICT


TOKEN = TypeAdapter(TokenRequest)
REVOKE = TypeAdapter(RevokeRequest)
ROTATE = TypeAdapter(RotateRequest)


class TokenOperations:
    """Handlers; what they raise as `Refused` becomes a problem document."""

    def __init__(self, catalog: Catalog, tokens: Tokens) -> None:
        self._catalog = catalog
        self._tokens = tokens

    async def issue(self, request: web.Request) -> web.Response:
        """A scoring token for the caller."""
        service = self._catalog.get(request.match_info["name"])
        asked = parsed(TOKEN, await read_json(request, empty=b"{}"))
        issued = self._tokens.issue(service, request[ACTOR], asked.verbs, asked.lifetime_seconds)
        await request.app[AUDIT].add(entry(request, target=issued.token_id))
        return answer(document(issued))

    async def revoke(self, request: web.Request) -> web.Response:
        """End tokens, answered when no worker accepts them any more."""
        asked = parsed(REVOKE, await read_json(request, empty=b"{}"))
        token_id, subject = asked.jti or "", asked.subject or ""
        if token_id and subject:
            reason = "stands beside jti: one token is revoked by its id, those of a subject by its name"
            raise Refused(400, f"subject {reason}.", (Fault("subject", reason),))
        if subject and not is_subject(subject):
            reason = "has characters that no subject has"
            raise Refused(400, f"subject {reason}.", (Fault("subject", reason),))
        audit = entry(request, target=token_id or subject)
        record = await self._tokens.revoke(request.match_info["name"], token_id=token_id, subject=subject, audit=audit)
        return answer({"jti": token_id} if token_id else {"revoked_before": second(record.issued_before)})

    async def keys(self, _request: web.Request) -> web.Response:
        """The keys that sign tokens, public names only."""
        return answer(self._keys())

    async def rotate(self, request: web.Request) -> web.Response:
        """Let the next key sign, answered when it does and every worker knows the one after it."""
        asked = parsed(ROTATE, await read_json(request, empty=b"{}"))
        await self._tokens.keys.rotate(revoke=asked.revoke, audit=entry(request))
        return answer(self._keys())

    def _keys(self) -> dict[str, object]:
        return {"value": [_signing_key(record) for record in self._tokens.keys.records]}


def document(issued: Issued) -> dict[str, object]:
    """The answer that carries a token."""
    return {
        "token": issued.token,
        "token_type": "Bearer",
        "refresh_by": second(issued.refresh_by),
        "expires_at": second(issued.expires_at),
    }


def _signing_key(record: SigningKeyRecord) -> dict[str, object]:
    return {
        "kid": record.kid,
        "state": record.state,
        "not_after": moment(record.not_after) if record.not_after else None,
    }
