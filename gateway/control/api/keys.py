"""Operations on credentials: read and regenerate keys, issue tokens, list signing keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field, TypeAdapter

from gateway.control.api.body import answer, parsed, read_json
from gateway.control.api.problem import ACTOR
from gateway.control.api.view import moment, second
from gateway.control.catalog import Catalog
from gateway.control.refusal import Fault, Refused
from gateway.control.tokens import Issuer
from gateway.core.record import SLOTS, KeyRecord, SigningKeyRecord, Slot
from gateway.core.spec import STRICT, Natural, Positive

Verb = Literal["score", "batch", "swagger"]


@dataclass(frozen=True, slots=True)
class RegenerateRequest:
    """`value`: the new key; left out or null: a random one. `grace_seconds`: 0, the old key ends at once."""

    value: Annotated[str | None, Field(max_length=1024)] = None
    grace_seconds: Natural | None = None

    __pydantic_config__ = STRICT


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """`verbs`: what the token is for; left out: everything. `lifetime_seconds`: left out: as configured."""

    verbs: Annotated[tuple[Verb, ...], Field(min_length=1)] | None = None
    lifetime_seconds: Positive | None = None

    __pydantic_config__ = STRICT


REGENERATE = TypeAdapter(RegenerateRequest)
TOKEN = TypeAdapter(TokenRequest)


class KeyOperations:
    """Handlers; what they raise as `Refused` becomes a problem document."""

    def __init__(self, catalog: Catalog, issuer: Issuer, signing_keys: Sequence[SigningKeyRecord]) -> None:
        self._catalog = catalog
        self._issuer = issuer
        self._signing_keys = signing_keys

    async def get(self, request: web.Request) -> web.Response:
        """Both keys of a service."""
        keys = self._catalog.keys(request.match_info["name"])
        values = {f"{slot}_key": keys[slot][0] for slot in SLOTS}
        return answer({**values, "slots": {slot: _slot(keys[slot][1]) for slot in SLOTS}})

    async def regenerate(self, request: web.Request) -> web.Response:
        """A new key for a slot, answered when no worker accepts the old one any more."""
        name, slot = request.match_info["name"], _valid_slot(request.match_info["slot"])
        asked = parsed(REGENERATE, await read_json(request, empty=b"{}"))
        if asked.grace_seconds:
            reason = "is not supported by this release: the old key ends at once; move callers to the other slot first"
            raise Refused(400, f"grace_seconds {reason}.", (Fault("grace_seconds", reason),))
        made = await self._catalog.regenerate(name, slot, asked.value)
        return answer(
            {
                "slot": slot,
                "value": made.value,
                "id": made.record.id,
                "grace_until": None,
                "acknowledged": {"workers": made.acknowledged.workers, "replicas": 1, "of": 1},
            }
        )

    async def token(self, request: web.Request) -> web.Response:
        """A scoring token for the caller."""
        service = self._catalog.get(request.match_info["name"])
        asked = parsed(TOKEN, await read_json(request, empty=b"{}"))
        issued = self._issuer.issue(service, request[ACTOR], asked.verbs, asked.lifetime_seconds)
        return answer(
            {
                "token": issued.token,
                "token_type": "Bearer",
                "refresh_by": second(issued.refresh_by),
                "expires_at": second(issued.expires_at),
            }
        )

    async def signing_keys(self, _request: web.Request) -> web.Response:
        """The keys that sign tokens, public names only."""
        return answer({"value": [_signing_key(record) for record in self._signing_keys]})


def _slot(record: KeyRecord) -> dict[str, object]:
    return {"id": record.id, "created_at": moment(record.created_at), "expires_at": None, "grace_until": None}


def _signing_key(record: SigningKeyRecord) -> dict[str, object]:
    return {
        "kid": record.kid,
        "state": record.state,
        "not_after": moment(record.not_after) if record.not_after else None,
    }


def _valid_slot(slot: str) -> Slot:
    for known in SLOTS:
        if slot == known:
            return known
    raise Refused(404, "A service has the key slots primary and secondary.")
