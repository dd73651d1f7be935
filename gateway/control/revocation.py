"""Tokens that open nothing any more, before they expire: one, those of a subject, or all of a service.

Tokens count in whole seconds. Those issued until now have an `iat` below that of the revocation, and those issued after
it do not: the first second of a new one is the last of the old ones plus one.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from gateway.control.refusal import Refused
from gateway.control.service import Service
from gateway.core.record import RevocationRecord
from gateway.core.snapshot import Revoked
from gateway.core.token import LEEWAY_SECONDS

MAX_REVOCATIONS = 1000
"""Of single tokens and subjects of one service: workers hold them all."""


def issue_time(service: Service, subject: str, now: float) -> int:
    """The `iat` of a token issued now: not of an earlier service of this name, and not revoked before it was issued."""
    revoked = entry(service.revoked)
    return max(int(now), service.born, revoked.before, revoked.subjects.get(subject, 0))


def newest_issue(service: Service, now: float, subject: str = "") -> int:
    """The newest `iat` that a token of the service can have; of one subject, if it is named."""
    befores = [one.issued_before for one in service.revoked if not subject or one.subject in ("", subject)]
    return max([int(now), service.born, *befores])


def revoked_now(
    service: Service, until: datetime, *, token_id: str = "", subject: str = "", now: float | None = None
) -> tuple[Service, RevocationRecord]:
    """The service without the token, the subject's tokens, or any; and the record. `until`: when the last has expired.

    Raises Refused when there are too many single ones, or too many in a moment.
    """
    now = time.time() if now is None else now
    record = RevocationRecord(service=service.name, token_id=token_id, subject=subject, until=until)
    if not token_id:
        record = replace(record, issued_before=_after_all(service, subject, now))
    if not token_id and not subject:
        return replace(service, revoked=(record,)), record
    others = tuple(one for one in service.revoked if (one.token_id, one.subject) != (token_id, subject))
    if len(others) >= MAX_REVOCATIONS:
        how = "revoke all tokens of the service, which forgets the single ones"
        raise Refused(409, f"{service.name} has {len(others)} revocations: {how}.")
    return replace(service, revoked=(*others, record)), record


def entry(records: Iterable[RevocationRecord]) -> Revoked:
    """The revocations of a service as workers know them."""
    before = max((one.issued_before for one in records if not one.token_id and not one.subject), default=0)
    subjects = {one.subject: one.issued_before for one in records if one.subject}
    return Revoked(before, subjects, frozenset(one.token_id for one in records if one.token_id))


def _after_all(service: Service, subject: str, now: float) -> int:
    """The first second in which no token that is to be revoked was issued."""
    first = 1 + newest_issue(service, now, subject)
    if first > now + LEEWAY_SECONDS:
        raise Refused(429, "Tokens were revoked again and again in this second: try again in a few.", Retry_After="5")
    return first
