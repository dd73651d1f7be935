"""Makes tokens by hand, below the library's own checks: a good one, and bent ones signed just as well."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from gateway.core.jwk import SigningKey
from gateway.core.jws import MAX_BYTES

SIGNERS: dict[str, Any] = jwt.algorithms.get_default_algorithms()
ORDER = 2**252 + 27742317777372353535851937790883648493
"""Of Ed25519's group."""
BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def segment(value: object) -> bytes:
    """base64url without padding; of JSON unless it is bytes."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def public(key: SigningKey, encoding: serialization.Encoding, form: serialization.PublicFormat) -> bytes:
    raw: bytes = key.private_key.public_key().public_bytes(encoding, form)
    return raw


def spelt_otherwise(text: bytes, part: int) -> bytes:
    """The same bytes in other characters: the spare bits of a segment's last character are set."""
    segments = text.split(b".")
    old = segments[part]
    segments[part] = old[:-1] + BASE64[BASE64.index(old[-1:]) + 1 :][:1]
    assert base64.urlsafe_b64decode(segments[part] + b"==") == base64.urlsafe_b64decode(old + b"==")
    return b".".join(segments)


class Forger:
    """Signs whatever it is told, by `key`, which the gateway under attack knows."""

    def __init__(self, key: SigningKey, *, issuer: str, service: str, now: int) -> None:
        self.key = key
        self.now = now
        self.header: dict[str, Any] = {"alg": key.algorithm, "typ": "at+jwt", "kid": key.kid}
        self.claims: dict[str, Any] = {
            "iss": issuer,
            "aud": service,
            "sub": "alice",
            "client_id": "alice",
            "iat": now,
            "nbf": now,
            "exp": now + 60,
            "jti": "t-1",
            "scope": "score swagger",
        }
        self.good = self.signed(self.header, self.claims)

    def signed(
        self, header: object, claims: object, key: SigningKey | None = None, algorithm: str | None = None
    ) -> bytes:
        """header.claims.signature, by `key` and whatever algorithm, with none of the library's own checks."""
        key = key or self.key
        message = segment(header) + b"." + segment(claims)
        signature = SIGNERS[algorithm or key.algorithm].sign(message, key.private_key)
        return message + b"." + segment(signature)

    def with_header(self, **changes: object) -> bytes:
        """A good token but for these header members; None leaves one out."""
        header = {name: value for name, value in (self.header | changes).items() if value is not None}
        return self.signed(header, self.claims)

    def with_claims(self, **changes: object) -> bytes:
        return self.signed(self.header, self.claims | changes)

    def without_claim(self, name: str) -> bytes:
        return self.signed(self.header, {key: value for key, value in self.claims.items() if key != name})

    def raw_header(self, text: str | bytes) -> bytes:
        """A token signed over this very header text."""
        return self.signed(text.encode() if isinstance(text, str) else text, self.claims)

    def raw_claims(self, text: str | bytes) -> bytes:
        return self.signed(self.header, text.encode() if isinstance(text, str) else text)

    def hmac_by(self, secret: bytes, kid: str | None = None, algorithm: str = "HS256") -> bytes:
        """The classic: a symmetric signature whose secret is something public."""
        header = {"alg": algorithm, "typ": "at+jwt", "kid": kid or self.key.kid}
        message = segment(header) + b"." + segment(self.claims)
        return message + b"." + segment(hmac.digest(secret, message, "sha256"))

    def unsigned(self, algorithm: str, signature: bytes = b"") -> bytes:
        return segment(self.header | {"alg": algorithm}) + b"." + segment(self.claims) + b"." + signature

    def part_replaced(self, part: int, value: bytes) -> bytes:
        segments = self.good.split(b".")
        segments[part] = value
        return b".".join(segments)

    def malleable(self) -> bytes:
        """An Ed25519 signature with the group's order added to S: the same equation, other bytes (RFC 8032 5.1.7)."""
        head, _, last = self.good.rpartition(b".")
        raw = base64.urlsafe_b64decode(last + b"==")
        larger = (int.from_bytes(raw[32:], "little") + ORDER).to_bytes(32, "little")
        return head + b"." + segment(raw[:32] + larger)

    def in_der(self, key: SigningKey) -> bytes:
        """An ES256 signature as X.509 would write it."""
        message = segment(self.header | {"alg": "ES256", "kid": key.kid}) + b"." + segment(self.claims)
        raw = SIGNERS["ES256"].sign(message, key.private_key)
        der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        return message + b"." + segment(der)

    def padded_to(self, size: int) -> bytes:
        """A good token of exactly `size` bytes, or of the next size that base64 allows."""
        made, filler = self.good, "x" * ((size - len(self.good)) * 3 // 4 - 20)
        while len(made) < size:
            made, filler = self.with_claims(more=filler), filler + "x"
        return made

    def spaced(self) -> bytes:
        """As good, with a header whose last character has spare bits."""
        text = json.dumps(self.header)
        return self.raw_header(text + " " * ((1 - len(text)) % 3))

    def too_long(self) -> bytes:
        return self.padded_to(MAX_BYTES + 1)
