"""Tokens: what opens, and that nothing forged, bent or borrowed does."""

from __future__ import annotations

import time

import jwt
import pytest
from attacks import STRANGER_JWK, attacks
from forger import Forger

from gateway.core import jwk, token
from gateway.core.jwk import JwkError, SigningKey
from gateway.core.jws import MAX_BYTES, TokenError
from gateway.core.snapshot import VerifyingKey
from gateway.core.token import LEEWAY_SECONDS, Claims, Verifier, why_not_now

NOW = 1_800_000_000
ISSUER = "urn:scoregate:test"
ALGORITHMS = ("EdDSA", "ES256", "RS256")
KEYS = {algorithm: SigningKey.generate(algorithm) for algorithm in ALGORITHMS}
PUBLIC = tuple(key.verifying_key() for key in KEYS.values())
KEY, ES, RS = KEYS.values()
VERIFIER = Verifier(ISSUER, PUBLIC)
FORGER = Forger(KEY, issuer=ISSUER, service="diabetes", now=NOW)
ATTACKS = attacks(FORGER) | {
    "kid of another key": FORGER.with_header(kid=ES.kid, alg="ES256"),
    "RS256 key used for PS256": FORGER.signed(
        FORGER.header | {"alg": "PS256", "kid": RS.kid}, FORGER.claims, RS, "PS256"
    ),
    "RS256 key used for RS512": FORGER.signed(
        FORGER.header | {"alg": "RS512", "kid": RS.kid}, FORGER.claims, RS, "RS512"
    ),
    "ES256 signature in DER": FORGER.in_der(ES),
    "a key": b"sg1_abc",
    "nothing": b"",
    "white space before": b" " + FORGER.good,
    "line end after": FORGER.good + b"\n",
    "header a list": FORGER.raw_header("[]"),
    "header empty": FORGER.part_replaced(0, b""),
}


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
    assert claims.keys() == FORGER.claims.keys()
    assert claims["client_id"] == claims["sub"] == "alice"
    assert claims["scope"] == "score"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_others_can_verify_by_the_key_set(algorithm):
    """A plain client of the published document, with all its own checks on, finds the key and accepts the token."""
    text = issued(KEYS[algorithm], now=4_000_000_000).decode()
    keys = jwt.PyJWKSet.from_json(jwk.jwks(PUBLIC).decode())
    key = keys[jwt.get_unverified_header(text)["kid"]]
    options = {"verify_iat": False, "verify_nbf": False}
    claims = jwt.decode(text, key, algorithms=[algorithm], audience="diabetes", issuer=ISSUER, options=options)
    assert claims["sub"] == "alice"


def test_control_the_token_that_attacks_are_bent_from_verifies():
    """Signed by the same helper as the attacks, so that each fails for its own bend only."""
    claims = VERIFIER.verify(FORGER.good)
    assert claims == Claims("diabetes", "alice", "t-1", frozenset({"score", "swagger"}), NOW, NOW, NOW + 60, KEY.kid)
    assert VERIFIER.verify(FORGER.with_header(typ="AT+JWT")) == claims
    assert VERIFIER.verify(FORGER.spaced()) == claims
    assert VERIFIER.verify(FORGER.with_claims(scope="")).verbs == frozenset()
    assert VERIFIER.verify(FORGER.with_claims(sub="ünïcode user", more=[1, None])).subject == "ünïcode user"


def test_there_are_enough_attacks():
    """No two are the same bytes: a helper that ignores its argument would show."""
    assert len(set(ATTACKS.values())) == len(ATTACKS) > 160
    assert FORGER.good not in ATTACKS.values()


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
        ("exp twice", "claims are no JSON object"),
        ("jti missing", "lacks the claim jti"),
        ("client_id missing", "lacks the claim client_id"),
        ("issuer foreign", "issued by somebody else"),
        ("aud a list", "claim of the wrong type"),
        ("expiry true", "claim of the wrong type"),
        ("expiry in milliseconds", "claim out of its range"),
        ("subject with a line end", "claim out of its range"),
        ("scope with a quote", "claim out of its range"),
    ],
)
def test_the_reason_is_told(attack, why):
    """Each kind of refusal has words of its own, so that an honest caller can mend it."""
    with pytest.raises(TokenError) as caught:
        VERIFIER.verify(ATTACKS[attack])
    assert why in str(caught.value)


def test_control_a_lax_verifier_is_fooled():
    """PyJWT with the key, the algorithm and its own checks on accepts many of these: the list is not empty talk."""
    keys = {key.kid: jwt.PyJWK(key.jwk, key.algorithm) for key in PUBLIC}

    def opens(attack):
        try:
            kid = jwt.get_unverified_header(attack)["kid"]
            key, name = keys[kid], keys[kid].algorithm_name
            options = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
            jwt.decode(attack, key, algorithms=[name], audience="diabetes", issuer=ISSUER, options=options)
        except (jwt.InvalidTokenError, KeyError, TypeError, RecursionError, UnicodeError):
            return False
        return True

    fooled = {name for name, attack in ATTACKS.items() if opens(attack)}
    assert {"typ JWT", "alg twice", "exp twice", "longer than the limit", "jti missing", "aud a list"} <= fooled
    assert {"other last character of the signature", "padding", "claims in UTF-16", "expiry infinite"} & fooled


@pytest.mark.parametrize(
    "more", [{"jku": "https://evil.example"}, {"jwk": STRANGER_JWK}, {"x5c": ["MIIB"]}, {"x5u": "u"}, {"cty": "JWT"}]
)
def test_keys_that_a_token_brings_are_ignored(more):
    """Ours with such a header opens by our key: nothing is fetched, nothing is trusted."""
    assert VERIFIER.verify(FORGER.with_header(**more)).subject == "alice"


def test_a_retired_key_opens_nothing():
    """A verifier built without the key refuses its tokens, and takes those of the others."""
    later = Verifier(ISSUER, tuple(key for key in PUBLIC if key.kid != KEY.kid))
    assert later.verify(issued(ES)).kid == ES.kid
    with pytest.raises(TokenError, match="no longer"):
        later.verify(FORGER.good)
    with pytest.raises(TokenError):
        Verifier(ISSUER, ()).verify(FORGER.good)


def test_no_token_outlives_a_retiring_key():
    """Whoever has stolen it cannot sign a longer life; the tokens of its time open to their end."""
    key = VerifyingKey(KEY.kid, "EdDSA", KEY.verifying_key().jwk, not_after=NOW + 60.0)
    verifier = Verifier(ISSUER, (key,))
    assert verifier.verify(FORGER.good).expires_at == NOW + 60
    with pytest.raises(TokenError, match="outlive the key"):
        verifier.verify(FORGER.with_claims(exp=NOW + 61))


def test_a_key_that_may_not_verify_is_no_key():
    """It is refused when the verifier is made, not when a token names it."""
    with pytest.raises(JwkError):
        Verifier(ISSUER, (VerifyingKey(KEY.kid, "RS256", KEY.verifying_key().jwk),))


@pytest.mark.parametrize(("kid", "opens"), [("k" * 64, True), ("k" * 65, False), ("a b", False), ("../x", False)])
def test_a_strange_name_opens_nothing_even_if_it_is_in_the_table(kid, opens):
    """The shape of `kid` is judged before it is looked up, whatever keys there are."""
    verifier = Verifier(ISSUER, (VerifyingKey(kid, "EdDSA", KEY.verifying_key().jwk),))
    if opens:
        assert verifier.verify(FORGER.with_header(kid=kid)).kid == kid
    else:
        with pytest.raises(TokenError):
            verifier.verify(FORGER.with_header(kid=kid))


def test_a_token_of_the_longest_length_is_read():
    """The limit itself is within."""
    longest = FORGER.padded_to(MAX_BYTES - 2)
    assert MAX_BYTES - 2 <= len(longest) <= MAX_BYTES
    assert VERIFIER.verify(longest).subject == "alice"


def test_fractions_of_a_second_are_times():
    """RFC 7519 allows them; they are kept."""
    assert VERIFIER.verify(FORGER.with_claims(exp=NOW + 0.5)).expires_at == NOW + 0.5


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


@pytest.mark.parametrize(
    ("name", "may"),
    [
        ("alice", True),
        ("a" * 255, True),
        ("ünï", True),
        ("", False),
        ("a" * 256, False),
        ("a\nb", False),
        ("\ud800", False),
    ],
)
def test_whom_a_token_may_name(name, may):
    """Who stands in logs and header fields has no control characters, and an end."""
    assert token.is_subject(name) is may


@pytest.mark.parametrize(
    ("credential", "looks"),
    [(FORGER.good, True), (b"eyJ..", True), (b"eyJ.", False), (b"eyJ...", False), (b"sg1_a.b.c", False), (b"", False)],
)
def test_what_looks_like_a_token(credential, looks):
    """A JSON object in base64 and two dots: it only chooses which check speaks."""
    assert token.looks_like_token(credential) is looks


@pytest.mark.prove
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_first_seen_token_costs_at_most_500_microseconds(algorithm):
    """The median of a thousand, each seen for the first time; CPU time of this process."""
    made = [issued(KEYS[algorithm]) for _ in range(1000)]
    spent = []
    for one in made:
        before = time.process_time()
        VERIFIER.verify(one)
        spent.append(time.process_time() - before)
    assert sorted(spent)[500] < 500e-6, sorted(spent)[500]
