"""The audit log over the API: what a request leaves there, and the operation that reads it."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from aiohttp import web

from gateway.control.api.body import answer
from gateway.control.api.operations import BY_ID, MAX_ENTRY_ID
from gateway.control.api.problem import ACTOR, operation_of
from gateway.control.api.query import limit, number, require_known
from gateway.control.api.view import moment
from gateway.control.audit import AuditLog
from gateway.core.audit import DONE, AuditEntry, AuditQuery
from gateway.core.spec import SERVICE_NAME_PATTERN

AUDIT = web.AppKey("audit", AuditLog)
"""Where handlers find the log, for what changes no record."""
_TARGETS = ("slot", "caller")
_PUBLIC_NAME = re.compile(r"[-._A-Za-z0-9]{1,64}")


def entry(
    request: web.Request, *, target: str | None = None, action: str | None = None, result: str = DONE
) -> AuditEntry:
    """What a request leaves in the audit log. `target`, `action`: others than its path and its operation tell.

    Names of its path are told only where they look like names: whoever pastes a key there shall not find it here.
    """
    operation, named = operation_of(request), request.match_info
    service = named.get("name", "")
    if target is None:
        target = next((named[part] for part in _TARGETS if _PUBLIC_NAME.fullmatch(named.get(part, ""))), "")
    return AuditEntry(
        at=datetime.now(UTC),
        actor=request[ACTOR],
        address=request.remote or "",
        action=action or (operation.id if operation else "-"),
        service=service if re.fullmatch(SERVICE_NAME_PATTERN, service) else "",
        target=target,
        result=result,
    )


class AuditOperations:
    """Handlers; what they raise as `Refused` becomes a problem document."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    async def list(self, request: web.Request) -> web.Response:
        """One page of entries, oldest first; or the newest."""
        require_known(request, BY_ID["list_audit"])
        is_newest = "newest" in request.query
        at_most, newest = limit(request), limit(request, "newest")
        wanted = newest if is_newest else at_most
        found = await self._audit.read(
            AuditQuery(
                after=number(request, "after", 0, least=0, most=MAX_ENTRY_ID),
                limit=wanted if is_newest else wanted + 1,
                actor=request.query.get("actor"),
                service=request.query.get("service"),
                action=request.query.get("action"),
                newest=is_newest,
            )
        )
        document: dict[str, object] = {"value": [_shown(one) for one in found[:wanted]]}
        if len(found) > wanted:
            document["next"] = str(request.url.update_query(after=found[wanted - 1].id))
        return answer(document)


def _shown(one: AuditEntry) -> dict[str, object]:
    return {
        "id": one.id,
        "at": moment(one.at),
        "actor": one.actor,
        "from": one.address,
        "action": one.action,
        "service": one.service,
        "target": one.target,
        "result": one.result,
    }
