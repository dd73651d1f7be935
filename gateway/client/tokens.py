"""Tokens: the operations on them as requests, and the token that a client holds, renewed before it is needed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

from gateway.client.address import Address, bearer
from gateway.client.error import ClientError, RefusedError, UnknownGatewayError, UnreachableError
from gateway.client.message import Dialogue, Request
from gateway.client.operation import call

RETRY_REFRESH_SECONDS = 30.0
"""How long a token past its `refresh_by` is used on before whoever issues tokens, found away, is asked again."""
SCORE, TOKEN = "/score", "/token"


def issue_token(
    address: Address, name: str, *, verbs: list[str] | None = None, lifetime_seconds: int | None = None
) -> Request:
    """POST for a token that opens the service."""
    return address.request("POST", f"{_service(name)}/token", document=_wishes(verbs, lifetime_seconds))


def revoke_tokens(address: Address, name: str, *, jti: str | None = None, subject: str | None = None) -> Request:
    """POST the end of one token, of those of a subject, or of all that were issued until now."""
    given = {"jti": jti, "subject": subject}
    document = {key: item for key, item in given.items() if item is not None}
    return address.request("POST", f"{_service(name)}/tokens/revoke", document=document)


def list_signing_keys(address: Address) -> Request:
    """GET the keys that sign tokens: public names and states."""
    return address.request("GET", "/signing-keys")


def rotate_signing_keys(address: Address, *, revoke: bool = False) -> Request:
    """POST that the next key signs; `revoke`: and that no token of before opens anything."""
    return address.request("POST", "/signing-keys/rotate", document={"revoke": True} if revoke else {})


def exchange(scoring_uri: str, credential: str, *, verbs: list[str] | None = None) -> Request:
    """POST a provider's bearer token to the scoring port, for a token that opens the service."""
    headers = {
        "accept": "application/json",
        "authorization": bearer(credential),
        "content-type": "application/json",
    }
    return Request("POST", token_uri(scoring_uri), headers, json.dumps(_wishes(verbs, None)).encode())


def token_uri(scoring_uri: str) -> str:
    """Where tokens of the service at this scoring URI are given. Raises UnknownGatewayError."""
    parts = urlsplit(scoring_uri)
    is_http = parts.scheme in ("http", "https") and parts.hostname and parts.username is None
    if not is_http or parts.query or not parts.path.endswith(SCORE):
        raise UnknownGatewayError(
            "The scoring URI is none such as https://127.0.0.1:8443/api/v1/service/diabetes/score."
        )
    return scoring_uri.removesuffix(SCORE) + TOKEN


@dataclass(slots=True)
class _Held:
    """A token and its times (Unix seconds): asked again from `refresh_at`, dead from `expires_at`."""

    value: str = field(repr=False)
    refresh_at: float
    expires_at: float


class HeldToken:
    """The token of one service. `request` makes the request for a new one."""

    __slots__ = ("_clock", "_held", "_request")

    def __init__(self, request: Callable[[], Request], clock: Callable[[], float] = time.time) -> None:
        self._request = request
        self._clock = clock
        self._held: _Held | None = None

    def fetch(self) -> Dialogue[tuple[str, datetime]]:
        """A new token and its `refresh_by` (timezone-aware)."""
        answer = yield from call(self._request())
        refresh_by, expires_at = _moment(answer["refresh_by"]), _moment(answer["expires_at"])
        self._held = _Held(answer["token"], refresh_by.timestamp(), expires_at.timestamp())
        return self._held.value, refresh_by

    def current(self) -> Dialogue[str]:
        """The token to score with now: a new one from `refresh_by` on, if one can be had."""
        held, now = self._held, self._clock()
        if held is not None and now < held.refresh_at:
            return held.value
        try:
            value, _ = yield from self.fetch()
        except (UnreachableError, RefusedError) as error:
            # A token outlives its refresh_by so that scoring goes on while nobody is there to give the next.
            if held is None or now >= held.expires_at or not _is_away(error):
                raise
            held.refresh_at = now + RETRY_REFRESH_SECONDS
            return held.value
        return value

    def forget(self) -> None:
        """It was refused: the next one is a new one."""
        self._held = None


class Exchanged:
    """What opens one service for the holder of a provider's credential, which is good for nothing but tokens of it.

    `credential`: that bearer token, or what is asked for it each time, since it expires, too.
    """

    __slots__ = ("_credential", "_scoring_uri", "_token")

    def __init__(
        self, scoring_uri: str, credential: str | Callable[[], str], clock: Callable[[], float] = time.time
    ) -> None:
        """Raises UnknownGatewayError for a scoring URI that is none."""
        token_uri(scoring_uri)
        self._scoring_uri = scoring_uri
        self._credential = credential
        self._token = HeldToken(self._exchange, clock)

    def __repr__(self) -> str:
        return f"Exchanged({self._scoring_uri!r})"

    def token(self) -> Dialogue[tuple[str, datetime]]:
        """A new token and its `refresh_by` (timezone-aware)."""
        return self._token.fetch()

    def current(self, _service: object) -> Dialogue[str | None]:
        """The credential to score with now."""
        return (yield from self._token.current())

    def renewed(self, _service: object) -> Dialogue[str | None]:
        """The credential after the current one was refused."""
        self._token.forget()
        return (yield from self._token.current())

    def _exchange(self) -> Request:
        given = self._credential if isinstance(self._credential, str) else self._credential()
        if not given:
            raise ClientError("The credential to exchange is empty: give the bearer token of your identity provider.")
        return exchange(self._scoring_uri, given)


def _wishes(verbs: list[str] | None, lifetime_seconds: int | None) -> dict[str, Any]:
    given = {"verbs": verbs, "lifetime_seconds": lifetime_seconds}
    return {key: item for key, item in given.items() if item is not None}


def _is_away(error: UnreachableError | RefusedError) -> bool:
    return isinstance(error, UnreachableError) or error.status >= 500 or error.status == 429


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _service(name: str) -> str:
    return f"/services/{quote(name, safe='')}"
