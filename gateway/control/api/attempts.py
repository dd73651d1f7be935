"""Attempts on the admin port that were refused: slowed down by address, and told to the audit log."""

from __future__ import annotations

import math

from aiohttp import web

from gateway.control.api.audit import entry
from gateway.control.audit import AuditLog
from gateway.control.failures import Failures
from gateway.control.refusal import Refused


class Attempts:
    """What becomes of a refusal before it is answered."""

    def __init__(self, failures: Failures, audit: AuditLog) -> None:
        self._failures = failures
        self._audit = audit

    def refused(
        self, request: web.Request, refused: Refused, action: str | None = None, *, in_form: bool = False
    ) -> Refused:
        """The refusal to answer with: 429 in place of a 401, where too many credentials from there were wrong.

        Only a wrong credential is counted: a request without one guesses nothing. `action`: what is no operation of
        the API; `in_form`: the credential is in no header.
        """
        has_credential = in_form or "Authorization" in request.headers
        if refused.status == 401 and has_credential:
            wait = self._failures.count(request.remote or "")
            if wait:
                told = "Too many credentials from your address were wrong, and this one was, too"
                refused = Refused(429, f"{told}: {refused.detail}", Retry_After=str(math.ceil(wait)))
        if refused.status in (401, 403, 429):
            self._audit.refuse(entry(request, action=action, result=str(refused.status)))
        return refused
