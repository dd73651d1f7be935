"""Scoring tokens: signed JWTs (RFC 9068 profile) that open one service for a while.

PyJWT signs and verifies. What it leaves open is closed here: the token's type, exact base64, the algorithm pinned to
the key, keys from our table only, and times judged by the `now` we are given (RFC 8725; RFC 7515 section 2).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.types import Options

from gateway.core.snapshot import VerifyingKey

Algorithm = Literal["EdDSA", "ES256", "RS256"]
TYPE = "at+jwt"
MAX_BYTES = 4096
LEEWAY_SECONDS = 30
"""For `nbf` and `iat` only: another replica's clock may be ahead. `exp` is exact."""
VERBS = ("score", "batch", "swagger")

_SEGMENT = re.compile(rb"[A-Za-z0-9_-]+")
_KID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_REQUIRED = ("iss", "aud", "sub", "iat", "nbf", "exp", "jti", "scope")
_UNCHECKED_BY_PYJWT: Options = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


class TokenError(Exception):
    """The token opens nothing. The text is for the caller: it says why, and repeats nothing of the token."""


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


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and the name under which its public half is published."""

    kid: str
    algorithm: Algorithm
    private_key: Any

    @classmethod
    def generate(cls, algorithm: Algorithm) -> SigningKey:
        """A new key; its `kid` is the RFC 7638 thumbprint of the public half."""
        private_key: Any
        if algorithm == "EdDSA":
            private_key = ed25519.Ed25519PrivateKey.generate()
        elif algorithm == "ES256":
            private_key = ec.generate_private_key(ec.SECP256R1())
        else:
            private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return cls(_thumbprint(_public_jwk(algorithm, private_key)), algorithm, private_key)

    @classmethod
    def from_der(cls, kid: str, algorithm: Algorithm, der: bytes) -> SigningKey:
        """From unencrypted PKCS #8 DER, as `to_der` gives it."""
        return cls(kid, algorithm, serialization.load_der_private_key(der, password=None))

    def to_der(self) -> bytes:
        """Unencrypted PKCS #8 DER: to be sealed at once."""
        der: bytes = self.private_key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return der

    def verifying_key(self) -> VerifyingKey:
        """The public half, for workers and the JWKS document."""
        return VerifyingKey(self.kid, self.algorithm, _public_jwk(self.algorithm, self.private_key))


def issue(
    key: SigningKey,
    *,
    issuer: str,
    service: str,
    subject: str,
    verbs: frozenset[str],
    now: float,
    lifetime_seconds: float,
) -> str:
    """A token that opens `service` for `verbs` until `now + lifetime_seconds`."""
    issued = int(now)
    claims = {
        "iss": issuer,
        "aud": service,
        "sub": subject,
        "client_id": subject,
        "iat": issued,
        "nbf": issued,
        "exp": issued + int(lifetime_seconds),
        "jti": secrets.token_urlsafe(12),
        "scope": " ".join(sorted(verbs)),
    }
    return jwt.encode(claims, key.private_key, key.algorithm, headers={"typ": TYPE, "kid": key.kid})


class Verifier:
    """Verifies tokens against the published keys. Built once per change of keys, used for every first-seen token."""

    __slots__ = ("_issuer", "_keys")

    def __init__(self, issuer: str, keys: tuple[VerifyingKey, ...]) -> None:
        self._issuer = issuer
        self._keys = {key.kid: (key.algorithm, jwt.PyJWK(key.jwk, key.algorithm).key) for key in keys}

    def verify(self, token: bytes) -> Claims:
        """The claims of a token that one of our keys signed. Times are not judged here. Raises TokenError."""
        if len(token) > MAX_BYTES:
            raise TokenError(f"The token is longer than {MAX_BYTES} bytes.")
        kid, algorithm, key = self._key_of(_header(token))
        try:
            claims = jwt.decode(token, key, algorithms=[algorithm], options=_UNCHECKED_BY_PYJWT)
        except jwt.InvalidTokenError:
            raise TokenError("The token's signature does not verify.") from None
        return self._claims(claims, kid)

    def _key_of(self, header: Mapping[str, Any]) -> tuple[str, str, Any]:
        if str(header.get("typ", "")).lower() != TYPE:
            raise TokenError(f"The token is not of type {TYPE}.")
        if "crit" in header or "b64" in header:
            raise TokenError("The token demands extensions that are not supported.")
        kid = header.get("kid")
        known = self._keys.get(kid) if isinstance(kid, str) and _KID.fullmatch(kid) else None
        if known is None:
            raise TokenError("The token is signed by a key that is not, or no longer, valid here.")
        algorithm, key = known
        if header.get("alg") != algorithm:
            raise TokenError("The token's algorithm is not the one of its key.")
        return str(kid), algorithm, key

    def _claims(self, claims: Mapping[str, Any], kid: str) -> Claims:
        missing = [name for name in _REQUIRED if name not in claims]
        if missing:
            raise TokenError(f"The token lacks the claim {missing[0]}.")
        if claims["iss"] != self._issuer:
            raise TokenError("The token was issued by somebody else.")
        texts = [claims[name] for name in ("aud", "sub", "jti", "scope")]
        times = [claims[name] for name in ("iat", "nbf", "exp")]
        if not all(isinstance(text, str) for text in texts) or not all(_is_time(time) for time in times):
            raise TokenError("The token has a claim of the wrong type.")
        service, subject, token_id, scope = texts
        issued_at, not_before, expires_at = map(float, times)
        return Claims(service, subject, token_id, frozenset(scope.split()), issued_at, not_before, expires_at, kid)


def why_not_now(claims: Claims, now: float) -> str | None:
    """Why a verified token is not valid at `now` (Unix seconds), or None."""
    if now >= claims.expires_at:
        return "The token has expired: request a new one."
    if now + LEEWAY_SECONDS < max(claims.not_before, claims.issued_at):
        return "The token is not valid yet."
    return None


def jwks(keys: tuple[VerifyingKey, ...]) -> bytes:
    """The JSON Web Key Set (RFC 7517) of all published keys."""
    return json.dumps({"keys": [key.jwk for key in keys]}, separators=(",", ":")).encode()


def looks_like_token(credential: bytes) -> bool:
    """Whether a bearer credential has the shape of a JWT. Only chooses the check and the words of a refusal."""
    return credential.startswith(b"eyJ") and credential.count(b".") == 2


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12


def _header(token: bytes) -> dict[str, Any]:
    segments = token.split(b".")
    if len(segments) != 3:
        raise TokenError("The token is no JWT of three parts.")
    header, _, _ = (_decode(segment) for segment in segments)
    try:
        value = json.loads(header, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError):
        raise TokenError("The token's header is no JSON object.") from None
    if not isinstance(value, dict):
        raise TokenError("The token's header is no JSON object.")
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name stands twice")
    return value


def _decode(segment: bytes) -> bytes:
    """Exact base64url: no padding, no other characters, no loose bits in the last one (PyJWT takes all of these)."""
    problem = TokenError("The token is not exact base64url.")
    if _SEGMENT.fullmatch(segment) is None:
        raise problem
    try:
        value = base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
    except (binascii.Error, ValueError):
        raise problem from None
    if base64.urlsafe_b64encode(value).rstrip(b"=") != segment:
        raise problem
    return value


def _public_jwk(algorithm: Algorithm, private_key: Any) -> dict[str, str]:
    public = private_key.public_key()
    jwk: dict[str, Any]
    if algorithm == "EdDSA":
        jwk = OKPAlgorithm.to_jwk(public, as_dict=True)
    elif algorithm == "ES256":
        jwk = ECAlgorithm.to_jwk(public, as_dict=True)
    else:
        jwk = RSAAlgorithm.to_jwk(public, as_dict=True)
        jwk.pop("key_ops", None)
    return {**jwk, "use": "sig", "alg": algorithm, "kid": _thumbprint(jwk)}


def _thumbprint(jwk: Mapping[str, Any]) -> str:
    members = {name: jwk[name] for name in ("crv", "e", "kty", "n", "x", "y") if name in jwk}
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()
