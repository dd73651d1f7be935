"""Keys as JSON Web Keys: what is published, under which name, and which of them may verify."""

from __future__ import annotations

import hashlib
import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from gateway.core import jwk, jws
from gateway.core.jwk import JwkError, PublicKey, SigningKey
from gateway.core.snapshot import VerifyingKey

ALGORITHMS = ("EdDSA", "ES256", "RS256")
KEYS = {algorithm: SigningKey.generate(algorithm) for algorithm in ALGORITHMS}
PUBLIC = tuple(key.verifying_key() for key in KEYS.values())
JWK = {key.algorithm: key.jwk for key in PUBLIC}


def sign(key, message=b"message"):
    return jwt.algorithms.get_default_algorithms()[key.algorithm].sign(message, key.private_key)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_verifies_what_it_signed(algorithm):
    """The very message, by the very key; anything else not."""
    public = PublicKey(algorithm, JWK[algorithm])
    signature = sign(KEYS[algorithm])
    assert public.algorithm == algorithm
    assert public.verifies(b"message", signature)
    assert not public.verifies(b"other", signature)
    assert not public.verifies(b"message", sign(SigningKey.generate(algorithm)))
    assert not public.verifies(b"message", b"")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_signing_key_survives_the_store(algorithm):
    """As DER and back it signs what the published half verifies, under the same name."""
    key = KEYS[algorithm]
    again = SigningKey.from_der(key.kid, algorithm, key.to_der())
    assert again.verifying_key() == key.verifying_key() == VerifyingKey(key.kid, algorithm, JWK[algorithm])
    assert PublicKey(algorithm, JWK[algorithm]).verifies(b"message", sign(again))


def test_a_private_key_is_not_shown():
    """Not by accident either: its repr has the public name only."""
    assert repr(KEYS["EdDSA"]) == f"SigningKey(kid={KEYS['EdDSA'].kid!r}, algorithm='EdDSA')"


def test_a_key_is_named_by_its_thumbprint():
    """The example of RFC 8037, appendix A.3, and for all algorithms a name that a token may carry."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    der = bytes.fromhex("302e020100300506032b657004220420") + seed
    named = SigningKey.from_der("x", "EdDSA", der).verifying_key().jwk["kid"]
    assert named == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    for key in PUBLIC:
        assert len(jws.decoded(key.kid.encode())) == 32
        assert key.jwk["kid"] == key.kid
    n_and_e = {name: JWK["RS256"][name] for name in ("e", "kty", "n")}
    made = hashlib.sha256(json.dumps(n_and_e, separators=(",", ":")).encode()).digest()
    assert KEYS["RS256"].kid == jws.encoded(made).decode()


def test_the_key_set_publishes_public_halves_only():
    """Exactly the members of RFC 7517 and 7518 for public keys; none of a private one."""
    document = json.loads(jwk.jwks(PUBLIC))
    every = {"kty", "use", "alg", "kid"}
    own = {"EdDSA": {"crv", "x"}, "ES256": {"crv", "x", "y"}, "RS256": {"n", "e"}}
    assert [key["alg"] for key in document["keys"]] == list(ALGORITHMS)
    for key in document["keys"]:
        assert key.keys() == every | own[key["alg"]]
        assert not key.keys() & {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
        assert key["use"] == "sig"
    assert jwk.jwks(()) == b'{"keys":[]}'


LOOSE = {
    "of another kind": ("EdDSA", JWK["ES256"], "none for EdDSA"),
    "of another curve": ("EdDSA", JWK["EdDSA"] | {"crv": "X25519"}, "none for EdDSA"),
    "of another algorithm": ("RS256", JWK["RS256"] | {"alg": "PS256"}, "another algorithm"),
    "for an algorithm that is not spoken": ("HS256", {"kty": "oct", "k": "AAAA"}, "none for HS256"),
    "for encryption": ("ES256", JWK["ES256"] | {"use": "enc"}, "not for signatures"),
    "for signing": ("EdDSA", JWK["EdDSA"] | {"key_ops": ["sign"]}, "not for verifying"),
    "for encrypting": ("RS256", JWK["RS256"] | {"key_ops": ["encrypt", "wrapKey"]}, "not for verifying"),
    "for nothing": ("RS256", JWK["RS256"] | {"key_ops": []}, "not for verifying"),
    "for a text": ("RS256", JWK["RS256"] | {"key_ops": "verify"}, "not for verifying"),
    "with its private half": ("EdDSA", JWK["EdDSA"] | {"d": "AAAA"}, "private members"),
    "without x": ("EdDSA", {"kty": "OKP", "crv": "Ed25519"}, "base64url in x"),
    "with a number for x": ("EdDSA", JWK["EdDSA"] | {"x": 1}, "base64url in x"),
    "with padding": ("EdDSA", JWK["EdDSA"] | {"x": JWK["EdDSA"]["x"] + "="}, "base64url in x"),
    "with loose bits": ("EdDSA", JWK["EdDSA"] | {"x": "A" * 42 + "B"}, "base64url in x"),
    "of too few bytes": ("EdDSA", JWK["EdDSA"] | {"x": "AAAA"}, "no point or modulus"),
    "beside the curve": ("ES256", JWK["ES256"] | {"y": JWK["ES256"]["x"]}, "no point or modulus"),
    "with a long x": ("ES256", JWK["ES256"] | {"x": jws.encoded(bytes(33)).decode()}, "no point or modulus"),
    "of 1024 bits": (
        "RS256",
        RSAAlgorithm.to_jwk(rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key(), as_dict=True),
        "fewer than 2048 bits",
    ),
    "with an even exponent": ("RS256", JWK["RS256"] | {"e": "Ag"}, "no point or modulus"),
}


@pytest.mark.parametrize(("algorithm", "key", "why"), LOOSE.values(), ids=LOOSE.keys())
def test_a_key_that_may_not_verify_is_refused(algorithm, key, why):
    """For another purpose, of another kind, or not written exactly; the reason repeats nothing of it."""
    with pytest.raises(JwkError, match=why) as caught:
        PublicKey(algorithm, key)
    assert caught.value.__cause__ is None


def test_control_the_library_takes_some_of_them():
    """PyJWT alone reads keys for encrypting, with padding, with loose bits or of 1024 bits as good for verifying."""
    for name in ("for encryption", "for signing", "for encrypting", "with padding", "with loose bits", "of 1024 bits"):
        algorithm, key, _ = LOOSE[name]
        assert jwt.PyJWK(key, algorithm).key is not None


@pytest.mark.parametrize("more", [{"key_ops": ["verify"]}, {"use": "sig"}, {"alg": "RS256"}, {"x5t": "AA"}, {}])
def test_what_other_issuers_write_is_taken(more):
    """Members that agree, or say nothing about the use, are none of our business."""
    bare = {name: JWK["RS256"][name] for name in ("kty", "n", "e")}
    assert PublicKey("RS256", bare | more).verifies(b"message", sign(KEYS["RS256"]))
