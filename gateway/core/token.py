"""Scoring tokens: signed JWTs (RFC 9068 profile) that open one service for a while.

PyJWT signs, and checks signatures. What it leaves open is closed here and in `jws` and `jwk` (RFC 8725): the token's
type, keys from our table only, each for its one algorithm, every claim there and of its type and range, and times
judged by the `now` we are given.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from gateway.core import jws
from gateway.core.jwk import PublicKey, SigningKey
from gateway.core.jws import TokenError
from gateway.core.snapshot import VerifyingKey

TYPE = "at+jwt"
LEEWAY_SECONDS = 30
"""For `nbf` and `iat` only: another replica's clock may be ahead. `exp` is exact."""
MAX_SUBJECT = 255

_KID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TOKEN_ID = re.compile(r"[\x21-\x7e]{1,128}")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*|")
"""RFC 6749 section 3.3; an empty one allows nothing."""
_TEXTS = ("aud", "sub", "client_id", "jti", "scope")
_TIMES = ("iat", "nbf", "exp")
_REQUIRED = ("iss", *_TEXTS, *_TIMES)
_LAST_TIME = 253_402_300_799
"""The end of the year 9999: milliseconds are beyond it."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says. Times are Unix seconds."""

    service: str
    subject: str
    token_id: str
    verbs: frozenset[str]
    issued_at: float
    not_before: float
    expires_at: float
    kid: str


def issue(
    key: SigningKey,
    *,
    issuer: str,
    service: str,
    subject: str,
    verbs: frozenset[str],
    now: float,
    lifetime_seconds: float,
    token_id: str = "",
) -> str:
    """A token that opens `service` for `verbs` until `now + lifetime_seconds`. `token_id`: left out, a new one."""
    issued = int(now)
    claims = {
        "iss": issuer,
        "aud": service,
        "sub": subject,
        "client_id": subject,
        "iat": issued,
        "nbf": issued,
        "exp": issued + int(lifetime_seconds),
        "jti": token_id or new_id(),
        "scope": " ".join(sorted(verbs)),
    }
    return jwt.encode(claims, key.private_key, key.algorithm, headers={"typ": TYPE, "kid": key.kid})


def new_id() -> str:
    """A public name for a token (`jti`): it stands in logs, and is what one is revoked by."""
    return "t_" + secrets.token_hex(12)


class Verifier:
    """Verifies tokens against the published keys. Built once per change of keys, used for every first-seen token."""

    __slots__ = ("_issuer", "_keys")

    def __init__(self, issuer: str, keys: tuple[VerifyingKey, ...]) -> None:
        """Raises JwkError when a key is none for its algorithm."""
        self._issuer = issuer
        self._keys = {key.kid: (PublicKey(key.algorithm, key.jwk), key.not_after) for key in keys}

    def verify(self, token: bytes) -> Claims:
        """The claims of a token that one of our keys signed. Times are not judged here. Raises TokenError."""
        parts = jws.parse(token)
        kid, key, not_after = self._key_of(parts.header)
        if not key.verifies(parts.message, parts.signature):
            raise TokenError("The token's signature does not verify.")
        claims = self._claims(parts.claims(), kid)
        if not_after is not None and claims.expires_at > not_after:
            # No token of ours does: whoever has learned a retired key gains nothing by later times.
            raise TokenError("The token would outlive the key that signed it.")
        return claims

    def _key_of(self, header: Mapping[str, Any]) -> tuple[str, PublicKey, float | None]:
        kind, kid = header.get("typ"), header.get("kid")
        if not isinstance(kind, str) or kind.lower() != TYPE:
            raise TokenError(f"The token is not of type {TYPE}.")
        known = self._keys.get(kid) if isinstance(kid, str) and _KID.fullmatch(kid) else None
        if known is None:
            raise TokenError("The token is signed by a key that is not, or no longer, valid here.")
        if header.get("alg") != known[0].algorithm:
            raise TokenError("The token's algorithm is not the one of its key.")
        return str(kid), *known

    def _claims(self, claims: Mapping[str, Any], kid: str) -> Claims:
        missing = [name for name in _REQUIRED if name not in claims]
        if missing:
            raise TokenError(f"The token lacks the claim {missing[0]}.")
        if claims["iss"] != self._issuer:
            raise TokenError("The token was issued by somebody else.")
        texts = [claims[name] for name in _TEXTS]
        times = [claims[name] for name in _TIMES]
        if not all(isinstance(text, str) for text in texts) or not all(map(_is_number, times)):
            raise TokenError("The token has a claim of the wrong type.")
        service, subject, client, token_id, scope = texts
        issued_at, not_before, expires_at = times
        in_order = 0 <= max(issued_at, not_before) < expires_at <= _LAST_TIME and min(issued_at, not_before) >= 0
        named = is_subject(subject) and is_subject(client) and _TOKEN_ID.fullmatch(token_id) and service
        if not (in_order and named and _SCOPE.fullmatch(scope)):
            raise TokenError("The token has a claim out of its range.")
        verbs = frozenset(scope.split())
        return Claims(service, subject, token_id, verbs, float(issued_at), float(not_before), float(expires_at), kid)


def why_not_now(claims: Claims, now: float) -> str | None:
    """Why a verified token is not valid at `now` (Unix seconds), or None."""
    if now >= claims.expires_at:
        return "The token has expired: request a new one."
    if now + LEEWAY_SECONDS < max(claims.not_before, claims.issued_at):
        return "The token is not valid yet."
    return None


def is_subject(name: str) -> bool:
    """Whether a token may name this caller: it stands in logs and header fields, and is counted by."""
    return 0 < len(name) <= MAX_SUBJECT and name.isprintable()


def looks_like_token(credential: bytes) -> bool:
    """Whether a bearer credential has the shape of a JWT. Only chooses the check and the words of a refusal."""
    return credential.startswith(b"eyJ") and credential.count(b".") == 2


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
