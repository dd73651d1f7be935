"""Tokens made by hand, below the library's own checks: a good one, and every bend of it that must open nothing."""

from __future__ import annotations

import base64
import hmac
import json
import math

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from gateway.core.token import MAX_BYTES, SigningKey

NOW = 1_800_000_000
ISSUER = "urn:scoregate:test"
ALGORITHMS = ("EdDSA", "ES256", "RS256")
KEYS = {algorithm: SigningKey.generate(algorithm) for algorithm in ALGORITHMS}
STRANGER = SigningKey.generate("EdDSA")
PUBLIC = tuple(key.verifying_key() for key in KEYS.values())
KEY = KEYS["EdDSA"]
ES, RS = KEYS["ES256"], KEYS["RS256"]
SIGNERS = jwt.algorithms.get_default_algorithms()
L = 2**252 + 27742317777372353535851937790883648493
"""The order of Ed25519's group."""

HEADER = {"alg": "EdDSA", "typ": "at+jwt", "kid": KEY.kid}
CLAIMS = {
    "iss": ISSUER,
    "aud": "diabetes",
    "sub": "alice",
    "client_id": "alice",
    "iat": NOW,
    "nbf": NOW,
    "exp": NOW + 60,
    "jti": "t-1",
    "scope": "score swagger",
}


def segment(value):
    """base64url without padding; of JSON unless it is bytes."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def signed(header, claims, key=KEY, algorithm=None):
    """header.claims.signature, by `key` and whatever algorithm, with none of the library's own checks."""
    message = segment(header) + b"." + segment(claims)
    signature = SIGNERS[algorithm or key.algorithm].sign(message, key.private_key)
    return message + b"." + segment(signature)


def with_header(**changes):
    """A good token but for these header members; None leaves one out."""
    header = {name: value for name, value in (HEADER | changes).items() if value is not None}
    return signed(header, CLAIMS)


def with_claims(**changes):
    return signed(HEADER, CLAIMS | changes)


def without_claim(name):
    return signed(HEADER, {key: value for key, value in CLAIMS.items() if key != name})


def raw_header(text):
    """A token signed over this very header text."""
    return signed(text.encode() if isinstance(text, str) else text, CLAIMS)


def raw_claims(text):
    return signed(HEADER, text.encode())


def hmac_by(secret, kid=RS.kid, algorithm="HS256"):
    """The classic: a symmetric signature whose secret is something public."""
    message = segment({"alg": algorithm, "typ": "at+jwt", "kid": kid}) + b"." + segment(CLAIMS)
    return message + b"." + segment(hmac.digest(secret, message, "sha256"))


def unsigned(algorithm, signature=b""):
    message = segment(HEADER | {"alg": algorithm}) + b"." + segment(CLAIMS)
    return message + b"." + signature


def public(key, encoding, form):
    return key.private_key.public_key().public_bytes(encoding, form)


def spelt_otherwise(text, part):
    """The same bytes in other characters: the spare bits of a segment's last character are set."""
    segments = text.split(b".")
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    old = segments[part]
    segments[part] = old[:-1] + alphabet[alphabet.index(old[-1:]) + 1 :][:1]
    assert base64.urlsafe_b64decode(segments[part] + b"==") == base64.urlsafe_b64decode(old + b"==")
    return b".".join(segments)


def part_replaced(part, value):
    segments = GOOD.split(b".")
    segments[part] = value
    return b".".join(segments)


def es256(signature):
    message = segment(HEADER | {"alg": "ES256", "kid": ES.kid}) + b"." + segment(CLAIMS)
    return message + b"." + segment(signature(message))


def der(message):
    raw = SIGNERS["ES256"].sign(message, ES.private_key)
    return encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))


def malleable():
    """An Ed25519 signature with the group's order added to S: the same equation, other bytes (RFC 8032 5.1.7)."""
    head, _, last = GOOD.rpartition(b".")
    raw = base64.urlsafe_b64decode(last + b"==")
    return head + b"." + segment(raw[:32] + (int.from_bytes(raw[32:], "little") + L).to_bytes(32, "little"))


def padded_to(size):
    """A good token of exactly `size` bytes, or of the next size that base64 allows."""
    token_ = GOOD
    filler = ""
    while len(token_) < size:
        filler += "x"
        token_ = with_claims(more=filler)
    return token_


GOOD = signed(HEADER, CLAIMS)
SPACED = raw_header(json.dumps(HEADER) + " " * ((1 - len(json.dumps(HEADER))) % 3))
"""As good, with a header whose last character has spare bits."""
STRANGER_JWK = STRANGER.verifying_key().jwk

ATTACKS = {
    # no signature, or one by something public
    "alg none": unsigned("none"),
    "alg none with a signature": unsigned("none", GOOD.split(b".")[2]),
    "alg nOnE": unsigned("nOnE", b"AA"),
    "alg missing": with_header(alg=None),
    "alg of another type": with_header(alg=["EdDSA"]),
    "HS256 by the public key, PEM": hmac_by(
        public(RS, serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    ),
    "HS256 by the public key, DER": hmac_by(
        public(RS, serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    ),
    "HS256 by the raw public key": hmac_by(
        public(KEY, serialization.Encoding.Raw, serialization.PublicFormat.Raw), KEY.kid
    ),
    "HS256 by the JWK": hmac_by(json.dumps(RS.verifying_key().jwk).encode()),
    "HS256 by nothing": hmac_by(b""),
    "HMAC under the right alg": hmac_by(
        public(KEY, serialization.Encoding.Raw, serialization.PublicFormat.Raw), KEY.kid, "EdDSA"
    ),
    # another algorithm than the key's
    "alg switched to another key's": with_header(alg="RS256"),
    "RS256 key used for PS256": signed(HEADER | {"alg": "PS256", "kid": RS.kid}, CLAIMS, RS, "PS256"),
    "RS256 key used for RS512": signed(HEADER | {"alg": "RS512", "kid": RS.kid}, CLAIMS, RS, "RS512"),
    "alg in lower case": with_header(alg="eddsa"),
    "kid of another key": with_header(kid=ES.kid, alg="ES256"),
    # signatures that a lax verifier takes
    "signature by a stranger": signed(HEADER, CLAIMS, STRANGER),
    "signature of another token": part_replaced(2, with_claims(jti="t-2").split(b".")[2]),
    "signature cut": GOOD[:-4],
    "signature of zeros": part_replaced(2, segment(bytes(64))),
    "ES256 signature of zeros": es256(lambda _: bytes(64)),
    "ES256 signature in DER": es256(der),
    "ES256 over P-384": signed(
        HEADER | {"alg": "ES256", "kid": ES.kid},
        CLAIMS,
        SigningKey(ES.kid, "ES256", ec.generate_private_key(ec.SECP384R1())),
        "ES384",
    ),
    "Ed25519 signature with S + L": malleable(),
    # keys the token brings along
    "jwk of a stranger": signed(HEADER | {"jwk": STRANGER_JWK}, CLAIMS, STRANGER),
    "jwk and kid of a stranger": signed(HEADER | {"jwk": STRANGER_JWK, "kid": STRANGER.kid}, CLAIMS, STRANGER),
    "jku of a stranger": signed(HEADER | {"jku": "https://evil.example/jwks.json"}, CLAIMS, STRANGER),
    "x5c of a stranger": signed(HEADER | {"x5c": ["MIIB"]}, CLAIMS, STRANGER),
    "x5u of a stranger": signed(HEADER | {"x5u": "https://evil.example/chain.pem"}, CLAIMS, STRANGER),
    # kid
    "kid missing": with_header(kid=None),
    "kid unknown": with_header(kid="unknown"),
    "kid empty": with_header(kid=""),
    "kid too long": with_header(kid="k" * 65),
    "kid a number": with_header(kid=1),
    "kid a list": with_header(kid=[KEY.kid]),
    "kid a path": with_header(kid="../../dev/null"),
    "kid with a line end": with_header(kid=KEY.kid + "\n"),
    "kid null": raw_header(json.dumps(HEADER | {"kid": None})),
    # typ
    "typ missing": with_header(typ=None),
    "typ JWT": with_header(typ="JWT"),
    "typ id token": with_header(typ="id+jwt"),
    "typ a list": with_header(typ=["at+jwt"]),
    "typ with a parameter": with_header(typ="at+jwt;v=1"),
    # extensions
    "crit": with_header(crit=["exp"], exp=1),
    "crit empty": with_header(crit=[]),
    "b64 false": with_header(b64=False, crit=["b64"]),
    "b64 true": with_header(b64=True),
    # form
    "nothing": b"",
    "a key": b"sg1_abc",
    "dots only": b"..",
    "two parts": GOOD.rpartition(b".")[0],
    "four parts": GOOD + b".AA",
    "five parts, as a JWE": GOOD + b".AA.AA",
    "header empty": part_replaced(0, b""),
    "claims empty": part_replaced(1, b""),
    "signature empty": part_replaced(2, b""),
    "padding": GOOD + b"==",
    "padding in the header": part_replaced(0, GOOD.split(b".")[0] + b"="),
    "other last character of the signature": spelt_otherwise(GOOD, 2),
    "other last character of the header": spelt_otherwise(SPACED, 0),
    "standard alphabet": part_replaced(2, base64.b64encode(b"\xfb\xff" * 33)),
    "white space before": b" " + GOOD,
    "line end after": GOOD + b"\n",
    "line end within": part_replaced(2, GOOD.split(b".")[2][:8] + b"\n" + GOOD.split(b".")[2][8:]),
    "a lone character": part_replaced(2, b"A"),
    "not ASCII": part_replaced(1, "ü".encode()),
    "JSON serialization": json.dumps({"payload": "x", "signatures": []}).encode(),
    "longer than the limit": padded_to(MAX_BYTES + 1),
    # header text
    "header no JSON": raw_header("{"),
    "header no UTF-8": raw_header(b"\xff\xfe{"),
    "header a list": raw_header(json.dumps([HEADER])),
    "header a text": raw_header('"at+jwt"'),
    "header nested deeply": raw_header("[" * 2500),
    "alg twice": raw_header('{"alg":"none",' + json.dumps(HEADER)[1:]),
    "kid twice, alike": raw_header(f'{{"kid":"{KEY.kid}",' + json.dumps(HEADER)[1:]),
    "a name twice within": raw_header('{"jwk":{"kty":"OKP","kty":"RSA"},' + json.dumps(HEADER)[1:]),
    # claims
    **{f"{name} missing": without_claim(name) for name in ("iss", "aud", "sub", "iat", "nbf", "exp", "jti", "scope")},
    "claims a list": raw_claims("[]"),
    "claims no JSON": raw_claims("{"),
    "issuer foreign": with_claims(iss="https://evil.example"),
    "issuer a list": with_claims(iss=[ISSUER]),
    "issuer longer": with_claims(iss=ISSUER + "/"),
    "audience a list": with_claims(aud=["diabetes"]),
    "audience null": with_claims(aud=None),
    "subject a number": with_claims(sub=1),
    "token id a number": with_claims(jti=1),
    "scope a list": with_claims(scope=["score"]),
    "expiry a text": with_claims(exp=str(NOW + 60)),
    "expiry true": with_claims(exp=True),
    "expiry null": with_claims(exp=None),
    "expiry infinite": raw_claims(json.dumps(CLAIMS).replace(str(NOW + 60), "1e999")),
    "expiry not a number": with_claims(exp=math.nan),
    "expiry in milliseconds": with_claims(exp=(NOW + 60) * 1000),
    "not before a list": with_claims(nbf=[NOW]),
    "issued at below zero": with_claims(iat=-1),
}
