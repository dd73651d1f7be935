"""Operations on named callers: list, show, create, change, regenerate the key, revoke."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from gateway.control.api.audit import AUDIT, entry
from gateway.control.api.body import answer, merge, parsed, read_json
from gateway.control.api.operation import BASE
from gateway.control.api.page import Page
from gateway.control.api.view import moment, used
from gateway.control.caller import NamedCaller
from gateway.control.callers import Callers
from gateway.control.link import Acknowledged
from gateway.control.refusal import Fault, Refused
from gateway.control.uses import Uses
from gateway.core.caller import CallerName, CallerSpec
from gateway.core.spec import STRICT, GraceSeconds


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerRequest(CallerSpec):
    """`name`: of the customer; its key is made and answered. Left out: all verbs, no limits, the service's expiry."""

    name: CallerName

    __pydantic_config__ = STRICT


@dataclass(frozen=True, slots=True)
class RegenerateCallerRequest:
    """`grace_seconds`: how long the key of before still opens; left out: as the service's `key_grace_seconds`."""

    grace_seconds: GraceSeconds | None = None

    __pydantic_config__ = STRICT


CREATE = TypeAdapter(CallerRequest)
REGENERATE = TypeAdapter(RegenerateCallerRequest)
SPEC = TypeAdapter(CallerSpec)


class CallerOperations:
    """Handlers; what they raise as `Refused` becomes a problem document. `reveals`: whether a key is shown again."""

    def __init__(self, callers: Callers, uses: Uses, *, reveals: bool) -> None:
        self._callers = callers
        self._uses = uses
        self._reveals = reveals

    async def list(self, request: web.Request) -> web.Response:
        """One page of the callers of a service by name, without keys."""
        callers = self._callers.of(request.match_info["name"])
        page = Page.of(request, "list_callers")
        shown = request.query.get("name", "")
        names, following = page.cut(name for name in callers if shown in name)
        return answer({"value": [_document(callers[name], self._uses) for name in names], **following})

    async def get(self, request: web.Request) -> web.Response:
        """One caller; its key too, unless keys are shown once only."""
        one = self._callers.get(*_named(request))
        if not self._reveals:
            return answer(_document(one, self._uses) | {"key": None})
        await request.app[AUDIT].show(entry(request))
        return answer(_document(one, self._uses) | {"key": self._callers.value(one)})

    async def create(self, request: web.Request) -> web.Response:
        """A caller with a key of its own."""
        asked = parsed(CREATE, await read_json(request))
        service = request.match_info["name"]
        spec = CallerSpec(verbs=asked.verbs, expires_at=asked.expires_at, rate_limits=asked.rate_limits)
        one, acknowledged = await self._callers.create(service, asked.name, spec, entry(request, target=asked.name))
        headers = {"Location": f"{BASE}/services/{service}/callers/{asked.name}"}
        return answer(self._with_key(one, acknowledged), status=201, headers=headers)

    async def patch(self, request: web.Request) -> web.Response:
        """Merge into what a caller may do; its key stays."""
        patch = from_json(await read_json(request))
        if not isinstance(patch, dict):
            raise Refused(400, "A merge patch of a caller is a JSON object.", (Fault("", "should be an object"),))

        def respec(before: CallerSpec) -> CallerSpec:
            return parsed(SPEC, to_json(merge(_configured(before), patch)))

        one, _ = await self._callers.change(*_named(request), respec, entry(request))
        return answer(_document(one, self._uses))

    async def regenerate(self, request: web.Request) -> web.Response:
        """Another key, answered when no worker accepts the old one any more, or all know how long they do."""
        asked = parsed(REGENERATE, await read_json(request, empty=b"{}"))
        one, acknowledged = await self._callers.regenerate(*_named(request), asked.grace_seconds, entry(request))
        return answer(self._with_key(one, acknowledged))

    async def delete(self, request: web.Request) -> web.Response:
        """Revoke a caller, answered when no worker accepts its key any more."""
        await self._callers.revoke(*_named(request), entry(request))
        return web.Response(status=204)

    def _with_key(self, one: NamedCaller, acknowledged: Acknowledged) -> dict[str, object]:
        served = {"workers": acknowledged.workers, "replicas": 1, "of": 1}
        return _document(one, self._uses) | {"key": self._callers.value(one), "acknowledged": served}


def _named(request: web.Request) -> tuple[str, str]:
    return request.match_info["name"], request.match_info["caller"]


def _configured(spec: CallerSpec) -> dict[str, Any]:
    block: dict[str, Any] = SPEC.dump_python(spec, mode="json")
    return block


def _document(one: NamedCaller, uses: Uses) -> dict[str, object]:
    record = one.record
    former = record.former if record.former is not None and record.former.until > datetime.now(UTC) else None
    return {
        "name": record.name,
        "id": record.id,
        **_configured(record.spec),
        "expires_at": record.spec.expires_at and moment(record.spec.expires_at),
        "created_at": moment(record.created_at),
        "regenerated_at": moment(record.regenerated_at),
        "grace_until": former and moment(former.until),
        **used(uses.of(record.id)),
        "former": former and {"id": former.id, **used(uses.of(former.id))},
    }
