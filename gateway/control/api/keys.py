"""Operations on keys: read and regenerate them, let them expire, tell how they are used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from aiohttp import web
from pydantic import Field, TypeAdapter

from gateway.control.advice import advice
from gateway.control.api.audit import AUDIT, entry
from gateway.control.api.body import answer, parsed, read_json
from gateway.control.api.view import moment, used
from gateway.control.catalog import Catalog
from gateway.control.pair import NewKey
from gateway.control.refusal import Refused
from gateway.control.uses import Uses
from gateway.core.caller import Moment
from gateway.core.record import SLOTS, KeyRecord, Slot
from gateway.core.spec import STRICT, GraceSeconds


@dataclass(frozen=True, slots=True)
class RegenerateRequest:
    """What is left out is as the service is configured, and `value` is random.

    `value`: the new key. `grace_seconds`: how long the key before it still opens. `expires_at`: when the new one ends.
    """

    value: Annotated[str | None, Field(max_length=1024)] = None
    grace_seconds: GraceSeconds | None = None
    expires_at: Moment | None = None

    __pydantic_config__ = STRICT


@dataclass(frozen=True, slots=True)
class KeyPatch:
    """`expires_at`: from then on the key opens nothing; null: it never ends by itself."""

    expires_at: Moment | None

    __pydantic_config__ = STRICT


REGENERATE = TypeAdapter(RegenerateRequest)
PATCH = TypeAdapter(KeyPatch)


class KeyOperations:
    """Handlers; what they raise as `Refused` becomes a problem document."""

    def __init__(self, catalog: Catalog, uses: Uses) -> None:
        self._catalog = catalog
        self._uses = uses

    async def list(self, request: web.Request) -> web.Response:
        """Both keys of a service."""
        keys = self._catalog.keys(request.match_info["name"])
        await request.app[AUDIT].show(entry(request))
        values = {f"{slot}_key": keys[slot][0] for slot in SLOTS}
        return answer({**values, "slots": {slot: self._slot(keys[slot][1]) for slot in SLOTS}})

    async def get(self, request: web.Request) -> web.Response:
        """A slot without its key."""
        name, slot = _named(request)
        return answer({"slot": slot, **self._slot(self._catalog.key(name, slot))})

    async def patch(self, request: web.Request) -> web.Response:
        """Another expiry of the key that a slot has."""
        name, slot = _named(request)
        asked = parsed(PATCH, await read_json(request))
        record = await self._catalog.expire(name, slot, asked.expires_at, entry(request))
        return answer({"slot": slot, **self._slot(record)})

    async def regenerate(self, request: web.Request) -> web.Response:
        """A new key for a slot, answered when every worker has it."""
        name, slot = _named(request)
        asked = parsed(REGENERATE, await read_json(request, empty=b"{}"))
        wanted = NewKey(asked.value, asked.grace_seconds, asked.expires_at)
        made = await self._catalog.regenerate(name, slot, wanted, entry(request))
        former = made.record.former
        return answer(
            {
                "slot": slot,
                "value": made.value,
                "id": made.record.id,
                "grace_until": former and moment(former.until),
                "acknowledged": {"workers": made.acknowledged.workers, "replicas": 1, "of": 1},
            }
        )

    def _slot(self, record: KeyRecord) -> dict[str, object]:
        advised = advice(record, self._uses, datetime.now(UTC))
        former, former_use = advised.former, advised.former_use
        return {
            "id": record.id,
            "created_at": moment(record.created_at),
            "expires_at": record.expires_at and moment(record.expires_at),
            "grace_until": former and moment(former.until),
            **used(advised.use),
            "former": {"id": former.id, **used(former_use)} if former and former_use else None,
            "safe_to_regenerate": advised.is_safe,
            "advice": advised.sentence,
        }


def _named(request: web.Request) -> tuple[str, Slot]:
    for known in SLOTS:
        if request.match_info["slot"] == known:
            return request.match_info["name"], known
    raise Refused(404, "A service has the key slots primary and secondary.")
