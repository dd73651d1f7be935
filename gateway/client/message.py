"""Requests and answers as values, and the dialogues made of them. Nothing here touches a socket or sleeps.

A dialogue is a generator: it yields a `Request` and is sent the `Answer`, or yields a `Pause` and is sent None; when no
answer came, `UnreachableError` is thrown into it. What it returns is the result. `sync` and `aio` only carry it out.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gateway.client.error import ClientError, NotAllowedError, RefusedError, WebserviceNotFound, phrase

Result = TypeVar("Result")

USER_AGENT = "scoregate-sdk"
"""What a gateway's access log calls us."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. `url` is absolute and holds no secret; headers and body may, and are not shown."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer. Header names are in lower case; a field sent more than once is joined by commas."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def is_json(self) -> bool:
        """Whether the media type says JSON (RFC 6839's `+json` included)."""
        media_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        return media_type == "application/json" or media_type.endswith("+json")


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait this long before the next step (seconds)."""

    seconds: float


Dialogue = Generator[Request | Pause, Answer | None, Result]


def ask(request: Request) -> Dialogue[Answer]:
    """The answer to one request."""
    answer = yield request
    assert answer is not None
    return answer


def parsed(request: Request, answer: Answer) -> Any:
    """The JSON value of an admin API answer, None for one without body. Raises RefusedError and its kinds."""
    if not 200 <= answer.status < 300:
        raise _refusal(request, answer)
    if not answer.body:
        return None
    try:
        return json.loads(answer.body)
    except ValueError:
        raise ClientError(
            f"{request.method} {request.url} was answered with something that is no JSON: "
            "the address is not that of a gateway's admin API."
        ) from None


def _refusal(request: Request, answer: Answer) -> RefusedError:
    problem = _problem(answer)
    text = f"{request.method} {request.url} was answered {answer.status} {phrase(answer.status)}: "
    text += _detail(answer, problem)
    if answer.status in (401, 403):
        return NotAllowedError(answer.status, problem, text)
    if answer.status == 404 and problem and "/v1/services/" in request.url and "/callers/" not in request.url:
        return WebserviceNotFound(answer.status, problem, text)
    return RefusedError(answer.status, problem, text)


def _problem(answer: Answer) -> dict[str, Any]:
    try:
        document = json.loads(answer.body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _detail(answer: Answer, problem: Mapping[str, Any]) -> str:
    if 300 <= answer.status < 400:
        where = answer.headers.get("location", "another address")
        return f"it points to {where}. Redirects are not followed, they would carry the credential: name that address."
    text = str(problem.get("detail") or problem.get("title") or "no problem document came; is this the admin address?")
    for item in problem.get("errors") or ():
        if isinstance(item, Mapping) and str(item.get("reason")) not in text:
            text += f" [{item.get('path')}: {item.get('reason')}]"
    request_id = problem.get("request_id")
    return f"{text} (request id {request_id})" if request_id else text
