"""Tokens: what opens, and that nothing forged, bent or borrowed does."""

from __future__ import annotations

import hashlib
import json

import jwt
import pytest
from forged_tokens import (
    ALGORITHMS,
    ATTACKS,
    CLAIMS,
    ES,
    GOOD,
    ISSUER,
    KEY,
    KEYS,
    NOW,
    PUBLIC,
    RS,
    SPACED,
    STRANGER_JWK,
    padded_to,
    segment,
    with_claims,
    with_header,
)

from gateway.core import token
from gateway.core.snapshot import VerifyingKey
from gateway.core.token import LEEWAY_SECONDS, MAX_BYTES, Claims, SigningKey, TokenError, Verifier, why_not_now

VERIFIER = Verifier(ISSUER, PUBLIC)


def issued(key, **changes):
    how = {"issuer": ISSUER, "service": "diabetes", "subject": "alice", "verbs": frozenset({"score"})}
    return token.issue(key, **(how | {"now": NOW + 0.75, "lifetime_seconds": 60} | changes)).encode()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_is_issued_verifies(algorithm):
    """With each algorithm: the claims come back as asked, in whole seconds, and the token has a name of its own."""
    one, two = (VERIFIER.verify(issued(KEYS[algorithm], verbs=frozenset({"swagger", "score"}))) for _ in range(2))
    assert one == Claims(
        "diabetes", "alice", one.token_id, frozenset({"score", "swagger"}), NOW, NOW, NOW + 60, KEYS[algorithm].kid
    )
    assert len(one.token_id) >= 16
    assert one.token_id != two.token_id


def test_a_token_is_an_access_token_by_rfc_9068():
    """Type, key and the claims that another verifier looks for; `jti` and `client_id` among them."""
    text = issued(KEY).decode()
    assert jwt.get_unverified_header(text) == {"alg": "EdDSA", "typ": "at+jwt", "kid": KEY.kid}
    claims = jwt.decode(text, options={"verify_signature": False})
    assert claims.keys() == CLAIMS.keys()
    assert claims["client_id"] == claims["sub"] == "alice"
    assert claims["scope"] == "score"


def test_control_the_token_that_attacks_are_bent_from_verifies():
    """Signed by the same helper as the attacks, so that each fails for its own bend only."""
    claims = VERIFIER.verify(GOOD)
    assert claims == Claims("diabetes", "alice", "t-1", frozenset({"score", "swagger"}), NOW, NOW, NOW + 60, KEY.kid)
    assert VERIFIER.verify(with_header(typ="AT+JWT")) == claims
    assert VERIFIER.verify(SPACED) == claims


def test_there_are_enough_attacks():
    """No two are the same bytes: a helper that ignores its argument would show."""
    assert len(set(ATTACKS.values())) == len(ATTACKS) > 80
    assert GOOD not in ATTACKS.values()


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_an_attack_opens_nothing(attack):
    """It is refused in one sentence that repeats nothing of it."""
    with pytest.raises(TokenError) as caught:
        VERIFIER.verify(attack)
    text = str(caught.value)
    assert text.startswith("The token")
    assert text.endswith(".")
    assert not any(secret in text for secret in ("evil", "unknown", "alice", "t-1", KEY.kid))
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("attack", "why"),
    [
        ("alg switched to another key's", "algorithm is not the one of its key"),
        ("signature by a stranger", "signature does not verify"),
        ("kid unknown", "signed by a key that is not, or no longer, valid here"),
        ("typ JWT", "not of type at+jwt"),
        ("crit", "extensions that are not supported"),
        ("two parts", "no JWT of three parts"),
        ("padding", "not exact base64url"),
        ("other last character of the signature", "not exact base64url"),
        ("other last character of the header", "not exact base64url"),
        ("longer than the limit", "longer than 4096 bytes"),
        ("header a list", "header is no JSON object"),
        ("jti missing", "lacks the claim jti"),
        ("issuer foreign", "issued by somebody else"),
        ("audience a list", "claim of the wrong type"),
    ],
)
def test_the_reason_is_told(attack, why):
    """Each kind of refusal has words of its own, so that an honest caller can mend it."""
    with pytest.raises(TokenError) as caught:
        VERIFIER.verify(ATTACKS[attack])
    assert why in str(caught.value)


def test_control_a_lax_verifier_is_fooled():
    """PyJWT with its own checks alone accepts some of these: the list is not empty talk."""
    keys = {key.kid: jwt.PyJWK(key.jwk, key.algorithm) for key in PUBLIC}

    def opens(attack):
        try:
            kid = jwt.get_unverified_header(attack)["kid"]
            jwt.decode(attack, keys[kid], algorithms=[keys[kid].algorithm_name], options=token._UNCHECKED_BY_PYJWT)
        except (jwt.InvalidTokenError, KeyError, TypeError):
            return False
        return True

    fooled = {name for name, attack in ATTACKS.items() if name != "header nested deeply" and opens(attack)}
    assert {"typ JWT", "alg twice", "longer than the limit"} <= fooled


@pytest.mark.parametrize(
    "more", [{"jku": "https://evil.example"}, {"jwk": STRANGER_JWK}, {"x5c": ["MIIB"]}, {"x5u": "u"}, {"cty": "JWT"}]
)
def test_keys_that_a_token_brings_are_ignored(more):
    """Ours with such a header opens by our key: nothing is fetched, nothing is trusted."""
    assert VERIFIER.verify(with_header(**more)).subject == "alice"


def test_a_retired_key_opens_nothing():
    """A verifier built without the key refuses its tokens, and takes those of the others."""
    later = Verifier(ISSUER, tuple(key for key in PUBLIC if key.kid != KEY.kid))
    assert later.verify(issued(ES)).kid == ES.kid
    with pytest.raises(TokenError, match="no longer"):
        later.verify(GOOD)
    with pytest.raises(TokenError):
        Verifier(ISSUER, ()).verify(GOOD)


@pytest.mark.parametrize(("kid", "opens"), [("k" * 64, True), ("k" * 65, False), ("a b", False), ("../x", False)])
def test_a_strange_name_opens_nothing_even_if_it_is_in_the_table(kid, opens):
    """The shape of `kid` is judged before it is looked up, whatever keys there are."""
    verifier = Verifier(ISSUER, (VerifyingKey(kid, "EdDSA", KEY.verifying_key().jwk),))
    if opens:
        assert verifier.verify(with_header(kid=kid)).kid == kid
    else:
        with pytest.raises(TokenError):
            verifier.verify(with_header(kid=kid))


def test_a_token_of_the_longest_length_is_read():
    """The limit itself is within."""
    longest = padded_to(MAX_BYTES - 2)
    assert MAX_BYTES - 2 <= len(longest) <= MAX_BYTES
    assert VERIFIER.verify(longest).subject == "alice"


def test_fractions_of_a_second_are_times():
    """RFC 7519 allows them; they are kept."""
    assert VERIFIER.verify(with_claims(exp=NOW + 0.5)).expires_at == NOW + 0.5


def claims_of(issued_at=NOW, not_before=NOW, expires_at=NOW + 60):
    return Claims("diabetes", "alice", "t", frozenset(), issued_at, not_before, expires_at, "k")


@pytest.mark.parametrize(
    ("claims", "now", "why"),
    [
        (claims_of(), NOW, None),
        (claims_of(), NOW + 59.999, None),
        (claims_of(), NOW + 60, "expired"),
        (claims_of(), NOW + 61, "expired"),
        (claims_of(), NOW - LEEWAY_SECONDS, None),
        (claims_of(), NOW - LEEWAY_SECONDS - 0.001, "not valid yet"),
        (claims_of(issued_at=NOW + 40), NOW, "not valid yet"),
        (claims_of(issued_at=NOW + 30), NOW, None),
        (claims_of(not_before=NOW + 31), NOW, "not valid yet"),
        (claims_of(expires_at=NOW), NOW, "expired"),
        (claims_of(expires_at=NOW - 1000), NOW - 500, "expired"),
    ],
)
def test_when_a_token_opens(claims, now, why):
    """From 30 s before its time, for clocks that are ahead, to the moment of its expiry, exactly."""
    told = why_not_now(claims, now)
    assert told is None if why is None else why in told


def test_the_key_set_publishes_public_halves_only():
    """Exactly the members of RFC 7517 and 7518 for public keys; none of a private one."""
    document = json.loads(token.jwks(PUBLIC))
    every = {"kty", "use", "alg", "kid"}
    own = {"EdDSA": {"crv", "x"}, "ES256": {"crv", "x", "y"}, "RS256": {"n", "e"}}
    assert [jwk["alg"] for jwk in document["keys"]] == list(ALGORITHMS)
    for jwk in document["keys"]:
        assert jwk.keys() == every | own[jwk["alg"]]
        assert not jwk.keys() & {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
        assert jwk["use"] == "sig"
    assert token.jwks(()) == b'{"keys":[]}'


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_others_can_verify_by_the_key_set(algorithm):
    """A plain client of the published document, with all its own checks on, finds the key and accepts the token."""
    text = token.issue(
        KEYS[algorithm],
        issuer=ISSUER,
        service="diabetes",
        subject="alice",
        verbs=frozenset({"score"}),
        now=4_000_000_000,
        lifetime_seconds=60,
    )
    keys = jwt.PyJWKSet.from_json(token.jwks(PUBLIC).decode())
    key = keys[jwt.get_unverified_header(text)["kid"]]
    options = {"verify_iat": False, "verify_nbf": False}
    claims = jwt.decode(text, key, algorithms=[algorithm], audience="diabetes", issuer=ISSUER, options=options)
    assert claims["sub"] == "alice"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_signing_key_survives_the_store(algorithm):
    """As DER and back it signs what the published half verifies, under the same name."""
    key = KEYS[algorithm]
    again = SigningKey.from_der(key.kid, algorithm, key.to_der())
    assert again.verifying_key() == key.verifying_key() == VerifyingKey(key.kid, algorithm, key.verifying_key().jwk)
    assert key.verifying_key().jwk["kid"] == key.kid
    assert VERIFIER.verify(issued(again)).kid == key.kid


def test_a_key_is_named_by_its_thumbprint():
    """The example of RFC 8037, appendix A.3, and for all algorithms a name that a token may carry."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    der = bytes.fromhex("302e020100300506032b657004220420") + seed
    assert (
        SigningKey.from_der("x", "EdDSA", der).verifying_key().jwk["kid"]
        == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    )
    assert all(len(key.kid) == 43 and token._KID.fullmatch(key.kid) for key in KEYS.values())
    n_and_e = {name: RS.verifying_key().jwk[name] for name in ("e", "kty", "n")}
    made = hashlib.sha256(json.dumps(n_and_e, separators=(",", ":")).encode()).digest()
    assert RS.kid == segment(made).decode()


@pytest.mark.parametrize(
    ("credential", "looks"),
    [(GOOD, True), (b"eyJ..", True), (b"eyJ.", False), (b"eyJ...", False), (b"sg1_a.b.c", False), (b"", False)],
)
def test_what_looks_like_a_token(credential, looks):
    """A JSON object in base64 and two dots: it only chooses which check speaks."""
    assert token.looks_like_token(credential) is looks
