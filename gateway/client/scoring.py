"""Scoring: which credential a service wants, how long it is good for, and what to do when it is refused."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from gateway.client import operation
from gateway.client.address import Address, bearer
from gateway.client.error import RefusedError, ScoringError, UnreachableError
from gateway.client.message import Answer, Dialogue, Request, ask

RETRY_REFRESH_SECONDS = 30.0
"""How long a token past its `refresh_by` is used on before the admin API, found away, is asked again."""


@dataclass(slots=True)
class _HeldToken:
    """A token and its times (Unix seconds): asked again from `refresh_at`, dead from `expires_at`."""

    value: str = field(repr=False)
    refresh_by: datetime
    refresh_at: float
    expires_at: float


class Credentials:
    """What opens one service: its keys as last read and its token as last issued."""

    __slots__ = ("_address", "_clock", "_key", "_name", "_token")

    def __init__(self, address: Address, name: str, clock: Callable[[], float] = time.time) -> None:
        self._address = address
        self._name = name
        self._clock = clock
        self._key: str | None = None
        self._token: _HeldToken | None = None

    def __repr__(self) -> str:
        return f"Credentials({self._name!r})"

    def keys(self) -> Dialogue[tuple[str, str]]:
        """Both keys, read anew: (primary, secondary)."""
        answer = yield from operation.call(operation.get_keys(self._address, self._name))
        self._key = answer["primary_key"]
        return answer["primary_key"], answer["secondary_key"]

    def regenerate(self, key: str, value: str | None) -> Dialogue[str]:
        """Put a new key into a slot; its value."""
        slot = operation.slot_named(key)
        request = operation.regenerate_key(self._address, self._name, slot, value=value)
        answer = yield from operation.call(request)
        self._key = None
        return str(answer["value"])

    def token(self) -> Dialogue[tuple[str, datetime]]:
        """A new token and its `refresh_by` (timezone-aware)."""
        answer = yield from operation.call(operation.issue_token(self._address, self._name))
        refresh_by = _moment(answer["refresh_by"])
        expires_at = _moment(answer["expires_at"]).timestamp()
        self._token = _HeldToken(answer["token"], refresh_by, refresh_by.timestamp(), expires_at)
        return self._token.value, refresh_by

    def current(self, service: Mapping[str, Any]) -> Dialogue[str | None]:
        """The credential to score with now: a key where keys open, else a token, else None."""
        if service["auth_enabled"]:
            if self._key is None:
                yield from self.keys()
            return self._key
        if service["token_auth_enabled"]:
            return (yield from self._current_token())
        return None

    def renewed(self, service: Mapping[str, Any]) -> Dialogue[str | None]:
        """The credential after the current one was refused."""
        self._key = self._token = None
        return (yield from self.current(service))

    def _current_token(self) -> Dialogue[str]:
        held, now = self._token, self._clock()
        if held is not None and now < held.refresh_at:
            return held.value
        try:
            value, _ = yield from self.token()
        except (UnreachableError, RefusedError) as error:
            # A token outlives its refresh_by so that scoring goes on while the admin API is away.
            if held is None or now >= held.expires_at or not _is_away(error):
                raise
            held.refresh_at = now + RETRY_REFRESH_SECONDS
            return held.value
        return value


def run(
    credentials: Credentials, service: Mapping[str, Any], data: Any, content_type: str = "application/json"
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


def _is_away(error: UnreachableError | RefusedError) -> bool:
    return isinstance(error, UnreachableError) or error.status >= 500


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
