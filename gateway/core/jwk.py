"""Keys that sign tokens, and their public halves as JSON Web Keys (RFC 7517), read strictly.

A key is used for the one algorithm it was made for, and for verifying only: what its JWK says against that counts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from gateway.core import jws
from gateway.core.snapshot import VerifyingKey

Algorithm = Literal["EdDSA", "ES256", "RS256"]
RSA_BITS = 2048

_KINDS: dict[str, dict[str, str]] = {
    "EdDSA": {"kty": "OKP", "crv": "Ed25519"},
    "ES256": {"kty": "EC", "crv": "P-256"},
    "RS256": {"kty": "RSA"},
}
_NUMBERS = {"OKP": ("x",), "EC": ("x", "y"), "RSA": ("n", "e")}
_NOT_PUBLIC = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class JwkError(Exception):
    """A JWK that may not verify anything here. The text says why."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and the name under which its public half is published."""

    kid: str
    algorithm: Algorithm
    private_key: Any = field(repr=False)

    @classmethod
    def generate(cls, algorithm: Algorithm) -> SigningKey:
        """A new key; its `kid` is the RFC 7638 thumbprint of the public half."""
        private_key: Any
        if algorithm == "EdDSA":
            private_key = ed25519.Ed25519PrivateKey.generate()
        elif algorithm == "ES256":
            private_key = ec.generate_private_key(ec.SECP256R1())
        else:
            private_key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
        return cls(_public_jwk(algorithm, private_key)["kid"], algorithm, private_key)

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


class PublicKey:
    """Verifies signatures of one algorithm by one published key."""

    __slots__ = ("_key", "algorithm")

    def __init__(self, algorithm: str, jwk: Mapping[str, Any]) -> None:
        """`algorithm`: one of `Algorithm`. Raises JwkError when the JWK is not a public key for just that."""
        why = _why_not(algorithm, jwk)
        if why:
            raise JwkError(f"the key {why}")
        self.algorithm = algorithm
        try:
            self._key = jwt.PyJWK(dict(jwk), algorithm)
        except (jwt.PyJWTError, ValueError):
            raise JwkError(f"the key is no point or modulus of {algorithm}") from None

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether the signature of the message is by this key."""
        return bool(self._key.Algorithm.verify(message, self._key.key, signature))


def jwks(keys: Iterable[VerifyingKey]) -> bytes:
    """The JSON Web Key Set (RFC 7517) of all published keys."""
    return json.dumps({"keys": [key.jwk for key in keys]}, separators=(",", ":")).encode()


def _why_not(algorithm: str, jwk: Mapping[str, Any]) -> str:
    """Why a JWK may not verify signatures of the algorithm; empty if it may."""
    kind = _KINDS.get(algorithm)
    if kind is None or any(jwk.get(name) != value for name, value in kind.items()):
        return f"is none for {algorithm[:16]}"
    if _NOT_PUBLIC & jwk.keys():
        return "has private members"
    if jwk.get("alg", algorithm) != algorithm:
        return "is for another algorithm"
    if jwk.get("use", "sig") != "sig":
        return "is not for signatures"
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return "is not for verifying"
    return _why_not_exact(kind["kty"], jwk)


def _why_not_exact(kind: str, jwk: Mapping[str, Any]) -> str:
    for name in _NUMBERS[kind]:
        try:
            value = jws.decoded(jwk[name].encode())
        except (KeyError, AttributeError, ValueError):
            return f"has no exact base64url in {name}"
        if name == "n" and int.from_bytes(value, "big").bit_length() < RSA_BITS:
            return f"has fewer than {RSA_BITS} bits"
    return ""


def _public_jwk(algorithm: Algorithm, private_key: Any) -> dict[str, str]:
    public = private_key.public_key()
    made: dict[str, Any]
    if algorithm == "EdDSA":
        made = OKPAlgorithm.to_jwk(public, as_dict=True)
    elif algorithm == "ES256":
        made = ECAlgorithm.to_jwk(public, as_dict=True)
    else:
        made = RSAAlgorithm.to_jwk(public, as_dict=True)
        made.pop("key_ops", None)
    return {**made, "use": "sig", "alg": algorithm, "kid": _thumbprint(made)}


def _thumbprint(jwk: Mapping[str, Any]) -> str:
    members = {name: jwk[name] for name in ("crv", "e", "kty", "n", "x", "y") if name in jwk}
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    return jws.encoded(hashlib.sha256(canonical).digest()).decode()
