"""Every bend of a good token that must open nothing: each for the one reason that its name tells."""

from __future__ import annotations

import json
import math

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from forger import Forger, public, segment, spelt_otherwise

from gateway.core.jwk import SigningKey
from gateway.core.key import generate

STRANGER = SigningKey.generate("EdDSA")
STRANGER_JWK = STRANGER.verifying_key().jwk
STRANGER_RSA = SigningKey.generate("RS256")
ON_P384 = ec.generate_private_key(ec.SECP384R1())


def attacks(forger: Forger) -> dict[str, bytes]:
    """By name. The forger's key is an EdDSA key that the verifier knows."""
    return {
        **by_nothing(forger),
        **by_other_keys(forger),
        **with_other_headers(forger),
        **of_other_form(forger),
        **with_other_texts(forger),
        **with_other_claims(forger),
    }


def by_nothing(forger: Forger) -> dict[str, bytes]:
    """No signature, or one by something public."""
    kid = forger.key.kid
    raw = public(forger.key, Encoding.Raw, PublicFormat.Raw)
    pem = public(forger.key, Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    der = public(forger.key, Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    jwk = forger.key.verifying_key().jwk
    return {
        "alg none": forger.unsigned("none"),
        "alg none with a signature": forger.unsigned("none", forger.good.split(b".")[2]),
        "alg nOnE": forger.unsigned("nOnE", b"AA"),
        "alg missing": forger.with_header(alg=None),
        "alg of another type": forger.with_header(alg=[forger.key.algorithm]),
        "alg empty": forger.with_header(alg=""),
        "HS256 by the public key, PEM": forger.hmac_by(pem),
        "HS256 by the public key, DER": forger.hmac_by(der),
        "HS256 by the raw public key": forger.hmac_by(raw),
        "HS256 by the text of x": forger.hmac_by(jwk["x"].encode()),
        "HS256 by the JWK": forger.hmac_by(json.dumps(jwk).encode()),
        "HS256 by nothing": forger.hmac_by(b""),
        "HS512 by the raw public key": forger.hmac_by(raw, kid, "HS512"),
        "HMAC under the right alg": forger.hmac_by(raw, kid, forger.key.algorithm),
        "signature of zeros": forger.part_replaced(2, segment(bytes(64))),
        "signature of one byte": forger.part_replaced(2, b"AA"),
        "signature cut": forger.good[:-4],
        "signature of another token": forger.part_replaced(2, forger.with_claims(jti="t-2").split(b".")[2]),
        "claims of another token": forger.part_replaced(1, forger.with_claims(sub="mallory").split(b".")[1]),
        "Ed25519 signature with S + L": forger.malleable(),
    }


def by_other_keys(forger: Forger) -> dict[str, bytes]:
    """Well signed, by keys that a token brings along or that nobody knows."""
    header, claims = forger.header, forger.claims
    chain = ["MIIB"]
    return {
        "signature by a stranger": forger.signed(header, claims, STRANGER),
        "RS256 by a stranger": forger.signed(header | {"alg": "RS256"}, claims, STRANGER_RSA),
        "ES256 over P-384": forger.signed(
            header | {"alg": "ES256"}, claims, SigningKey(forger.key.kid, "ES256", ON_P384), "ES384"
        ),
        "jwk of a stranger": forger.signed(header | {"jwk": STRANGER_JWK}, claims, STRANGER),
        "jwk and kid of a stranger": forger.signed(
            header | {"jwk": STRANGER_JWK, "kid": STRANGER.kid}, claims, STRANGER
        ),
        "jwk of a stranger, no kid": forger.signed(
            {"alg": "EdDSA", "typ": "at+jwt", "jwk": STRANGER_JWK}, claims, STRANGER
        ),
        "jku of a stranger": forger.signed(header | {"jku": "https://evil.example/jwks.json"}, claims, STRANGER),
        "jku and kid of a stranger": forger.signed(
            header | {"jku": "https://evil.example/jwks.json", "kid": STRANGER.kid}, claims, STRANGER
        ),
        "x5c of a stranger": forger.signed(header | {"x5c": chain}, claims, STRANGER),
        "x5u of a stranger": forger.signed(header | {"x5u": "https://evil.example/chain.pem"}, claims, STRANGER),
        "x5t of a stranger": forger.signed(header | {"x5t": STRANGER.kid}, claims, STRANGER),
    }


def with_other_headers(forger: Forger) -> dict[str, bytes]:
    """Signed by the right key, under a header that another reader could read otherwise."""
    kid = forger.key.kid
    return {
        "alg switched to another key's": forger.with_header(alg="RS256"),
        "alg in lower case": forger.with_header(alg=forger.key.algorithm.lower()),
        "alg by its other name": forger.with_header(alg="Ed25519"),
        "kid missing": forger.with_header(kid=None),
        "kid unknown": forger.with_header(kid="unknown"),
        "kid empty": forger.with_header(kid=""),
        "kid too long": forger.with_header(kid="k" * 65),
        "kid a number": forger.with_header(kid=1),
        "kid a list": forger.with_header(kid=[kid]),
        "kid a path": forger.with_header(kid="../../dev/null"),
        "kid a statement": forger.with_header(kid="' OR '1'='1"),
        "kid with a line end": forger.with_header(kid=kid + "\n"),
        "kid with a zero": forger.with_header(kid=kid + "\0"),
        "kid in another case": forger.with_header(kid=kid.swapcase()),
        "kid null": forger.raw_header(json.dumps(forger.header | {"kid": None})),
        "typ missing": forger.with_header(typ=None),
        "typ JWT": forger.with_header(typ="JWT"),
        "typ id token": forger.with_header(typ="id+jwt"),
        "typ logout token": forger.with_header(typ="logout+jwt"),
        "typ a list": forger.with_header(typ=["at+jwt"]),
        "typ with a parameter": forger.with_header(typ="at+jwt;v=1"),
        "crit": forger.with_header(crit=["exp"], exp=1),
        "crit empty": forger.with_header(crit=[]),
        "crit of an unknown name": forger.with_header(crit=["http://evil.example/x"]),
        "b64 false": forger.with_header(b64=False, crit=["b64"]),
        "b64 true": forger.with_header(b64=True),
    }


def of_other_form(forger: Forger) -> dict[str, bytes]:
    """Not the compact form, not exact base64url, too long."""
    good = forger.good
    header, _, signature = good.split(b".")
    return {
        "dots only": b"eyJ..",
        "two parts": good.rpartition(b".")[0],
        "four parts": good + b".AA",
        "five parts, as a JWE": good + b".AA.AA",
        "claims empty": forger.part_replaced(1, b""),
        "signature empty": forger.part_replaced(2, b""),
        "padding": good + b"==",
        "padding in the header": forger.part_replaced(0, header + b"="),
        "other last character of the signature": spelt_otherwise(good, 2),
        "other last character of the header": spelt_otherwise(forger.spaced(), 0),
        "standard alphabet": forger.part_replaced(2, b"+/" + signature[2:]),
        "percent-encoded": forger.part_replaced(2, b"%41" + signature[1:]),
        "white space within": forger.part_replaced(2, signature[:8] + b" " + signature[8:]),
        "a lone character": forger.part_replaced(2, b"A"),
        "not ASCII": forger.part_replaced(1, "ü".encode()),
        "longer than the limit": forger.too_long(),
        "header twice": header + b"." + good,
        "a service key behind it": good + generate().encode(),
    }


def with_other_texts(forger: Forger) -> dict[str, bytes]:
    """JSON that readers disagree on."""
    header, claims = json.dumps(forger.header), json.dumps(forger.claims)
    return {
        "header no JSON": forger.raw_header('{"'),
        "header with a tail": forger.raw_header(header + "x"),
        "header no UTF-8": forger.raw_header(header.encode()[:-1] + b',"x":"\xff"}'),
        "header in UTF-16": forger.raw_header(header.encode("utf-16")),
        "header nested deeply": forger.raw_header('{"a":' + "[" * 2400),
        "alg twice": forger.raw_header('{"alg":"none",' + header[1:]),
        "kid twice, alike": forger.raw_header(f'{{"kid":"{forger.key.kid}",' + header[1:]),
        "a name twice within": forger.raw_header('{"jwk":{"kty":"OKP","kty":"RSA"},' + header[1:]),
        "claims a list": forger.raw_claims("[]"),
        "claims a text": forger.raw_claims('"x"'),
        "claims no JSON": forger.raw_claims("{"),
        "claims with a comment": forger.raw_claims("/**/" + claims),
        "claims with a comma too many": forger.raw_claims(claims[:-1] + ",}"),
        "claims in UTF-16": forger.raw_claims(claims.encode("utf-16")),
        "claims with a byte order mark": forger.raw_claims(b"\xef\xbb\xbf" + claims.encode()),
        "claims no UTF-8": forger.raw_claims(claims.encode()[:-1] + b',"x":"\xff"}'),
        "claims nested deeply": forger.raw_claims(claims[:-1] + ',"x":' + "[" * 2000),
        "exp twice": forger.raw_claims(claims[:-1] + f',"exp":{forger.now + 10**6}}}'),
        "aud twice": forger.raw_claims('{"aud":"other",' + claims[1:]),
        "sub twice, alike": forger.raw_claims('{"sub":"alice",' + claims[1:]),
        "a claim twice within": forger.raw_claims(claims[:-1] + ',"x":{"a":1,"a":2}}'),
        "a number that is none": forger.raw_claims(claims[:-1] + ',"x":NaN}'),
    }


def with_other_claims(forger: Forger) -> dict[str, bytes]:
    """A claim missing, of the wrong type, out of its range."""
    now, claims = forger.now, forger.claims
    return {
        **{f"{name} missing": forger.without_claim(name) for name in claims},
        **{f"{name} null": forger.with_claims(**{name: None}) for name in claims},
        **{f"{name} a list": forger.with_claims(**{name: [claims[name]]}) for name in claims},
        **{f"{name} an object": forger.with_claims(**{name: {"a": claims[name]}}) for name in claims},
        **{f"{name} a number": forger.with_claims(**{name: 1}) for name in ("aud", "sub", "client_id", "jti", "scope")},
        **{f"{name} a text": forger.with_claims(**{name: str(claims[name])}) for name in ("iat", "nbf", "exp")},
        **{f"{name} empty": forger.with_claims(**{name: ""}) for name in ("iss", "aud", "sub", "client_id", "jti")},
        "issuer foreign": forger.with_claims(iss="https://evil.example"),
        "issuer longer": forger.with_claims(iss=claims["iss"] + "/"),
        "issuer in another case": forger.with_claims(iss=claims["iss"].upper()),
        "subject with a line end": forger.with_claims(sub="alice\r\nx-admin: 1"),
        "subject with half a character": forger.with_claims(sub="\ud800"),
        "subject too long": forger.with_claims(sub="a" * 256),
        "client with a zero": forger.with_claims(client_id="a\0"),
        "token id too long": forger.with_claims(jti="j" * 129),
        "token id with a space": forger.with_claims(jti="a b"),
        "scope with a line end": forger.with_claims(scope="score\nswagger"),
        "scope with a quote": forger.with_claims(scope='score "'),
        "expiry true": forger.with_claims(exp=True),
        "expiry infinite": forger.raw_claims(json.dumps(claims).replace(str(now + 60), "1e999")),
        "expiry not a number": forger.with_claims(exp=math.nan),
        "expiry of a thousand digits": forger.raw_claims(json.dumps(claims).replace(str(now + 60), "9" * 1000)),
        "expiry in milliseconds": forger.with_claims(exp=(now + 60) * 1000),
        "expiry below zero": forger.with_claims(exp=-1),
        "expiry before its issue": forger.with_claims(iat=now + 20, nbf=now, exp=now + 10),
        "not before its own expiry": forger.with_claims(nbf=now + 60),
        "issued below zero": forger.with_claims(iat=-1),
        "not before below zero": forger.with_claims(nbf=-1),
    }
