"""Answers the gateway gives by itself: a value (`Reply`), and the problem document (RFC 9457) most of them carry."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus

JSON = b"application/json"
PROBLEM_JSON = b"application/problem+json"
TEXT = b"text/plain; charset=utf-8"
QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that no backend had a part in. `reason` names it in metrics and the log; empty: nothing was refused.

    `stage`: where in the life of the request it was decided. `detail` is for a person: what is wrong, what to do.
    `body` None: a problem document is made of the rest when the request id is known. `closes`: the connection ends.
    """

    status: int
    reason: str = ""
    detail: str = ""
    stage: str = "policy"
    headers: Headers = ()
    body: bytes | None = None
    content_type: bytes = PROBLEM_JSON
    problem_type: str = "about:blank"
    extra: tuple[tuple[str, object], ...] = ()
    closes: bool = False

    def document(self, request_id: str) -> bytes:
        """The body as sent (bytes)."""
        if self.body is not None:
            return self.body
        problem = {
            "type": self.problem_type,
            "title": title(self.status),
            "status": self.status,
            "detail": self.detail,
            "reason": self.reason,
            "stage": self.stage,
            "request_id": request_id,
            **dict(self.extra),
        }
        return json.dumps(problem, separators=(",", ":")).encode()


def title(status: int) -> str:
    """The reason phrase of a status, or `Unknown`."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
