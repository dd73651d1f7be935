"""Scoring: which credential a service wants, how long it is good for, and what to do when it is refused."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from gateway.client import keys, operation
from gateway.client.address import Address, bearer
from gateway.client.error import ScoringError
from gateway.client.message import Answer, Dialogue, Request, ask
from gateway.client.tokens import HeldToken, issue_token


class Opener(Protocol):
    """What opens a service."""

    def current(self, service: Mapping[str, Any], /) -> Dialogue[str | None]:
        """The credential to score with now."""

    def renewed(self, service: Mapping[str, Any], /) -> Dialogue[str | None]:
        """The credential after the current one was refused."""


class Credentials:
    """What opens one service: its keys as last read and its token as last issued."""

    __slots__ = ("_address", "_key", "_name", "_token")

    def __init__(self, address: Address, name: str, clock: Callable[[], float] = time.time) -> None:
        self._address = address
        self._name = name
        self._key: str | None = None
        self._token = HeldToken(lambda: issue_token(address, name), clock)

    def __repr__(self) -> str:
        return f"Credentials({self._name!r})"

    def keys(self) -> Dialogue[tuple[str, str]]:
        """Both keys, read anew: (primary, secondary)."""
        answer = yield from operation.call(keys.get_keys(self._address, self._name))
        self._key = answer["primary_key"]
        return answer["primary_key"], answer["secondary_key"]

    def regenerate(
        self, key: str, value: str | None, grace_seconds: int | None = None, expires_at: datetime | None = None
    ) -> Dialogue[str]:
        """Put a new key into a slot; its value."""
        request = keys.regenerate_key(
            self._address,
            self._name,
            keys.slot_named(key),
            value=value,
            grace_seconds=grace_seconds,
            expires_at=expires_at,
        )
        answer = yield from operation.call(request)
        self._key = None
        return str(answer["value"])

    def token(self) -> Dialogue[tuple[str, datetime]]:
        """A new token and its `refresh_by` (timezone-aware)."""
        return self._token.fetch()

    def current(self, service: Mapping[str, Any]) -> Dialogue[str | None]:
        """The credential to score with now: a key where keys open, else a token, else None."""
        if service["auth_enabled"]:
            if self._key is None:
                yield from self.keys()
            return self._key
        if service["token_auth_enabled"]:
            return (yield from self._token.current())
        return None

    def renewed(self, service: Mapping[str, Any]) -> Dialogue[str | None]:
        """The credential after the current one was refused."""
        self._key = None
        self._token.forget()
        return (yield from self.current(service))


def run(
    credentials: Opener, service: Mapping[str, Any], data: Any, content_type: str = "application/json"
) -> Dialogue[Any]:
    """Score once: the JSON value, or the bytes of an answer that is no JSON. Raises ScoringError.

    A refused credential (401) is renewed once, and the request repeated if that gave another one.
    """
    body = encoded(data)
    credential = yield from credentials.current(service)
    answer = yield from ask(_request(service, credential, body, content_type))
    if answer.status == 401 and credential is not None:
        renewed = yield from credentials.renewed(service)
        if renewed != credential:
            answer = yield from ask(_request(service, renewed, body, content_type))
    return _scored(answer)


def encoded(data: Any) -> bytes:
    """The body: bytes as they are, text as UTF-8, anything else as JSON."""
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    return (data if isinstance(data, str) else json.dumps(data)).encode()


def _request(service: Mapping[str, Any], credential: str | None, body: bytes, content_type: str) -> Request:
    headers = {"accept": "*/*", "content-type": content_type}
    if credential is not None:
        headers["authorization"] = bearer(credential)
    return Request("POST", service["scoring_uri"], headers, body)


def _scored(answer: Answer) -> Any:
    if not 200 <= answer.status < 300:
        raise ScoringError(answer.status, answer.headers, answer.body)
    if not answer.is_json:
        return answer.body
    try:
        return json.loads(answer.body)
    except ValueError:
        # A model that says JSON and sends none: the bytes are all there is to give.
        return answer.body
