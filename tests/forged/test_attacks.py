"""Forged tokens at the door of a service, as the checks see them: none opens, all are refused by RFC 6750."""

from __future__ import annotations

import time
from dataclasses import replace

import jwt
import pytest
from attacks import STRANGER, attacks
from forger import Forger

from gateway.core import key
from gateway.core.exchange import ANONYMOUS, Exchange
from gateway.core.jwk import SigningKey
from gateway.core.snapshot import KeyEntry, Revoked, ServiceEntry, Trust
from gateway.core.spec import ServiceSpec
from gateway.policy import World, authenticate

NOW = 1_800_000_000
ISSUER = "urn:scoregate:test"
KEY, OLD = SigningKey.generate("EdDSA"), SigningKey.generate("EdDSA")
FORGER = Forger(KEY, issuer=ISSUER, service="diabetes", now=NOW)
BORN = NOW - 1000
REVOKED = Revoked(before=NOW - 500, subjects={"mallory": NOW + 10}, token_ids=frozenset({"t-dead"}))
DOORS = {"token": {"auth_enabled": False, "token_auth_enabled": True}, "both": {"token_auth_enabled": True}}

BORROWED = {
    "another service's": FORGER.with_claims(aud="adult"),
    "another service's, longer name": FORGER.with_claims(aud="diabetes2"),
    "another service's, other case": FORGER.with_claims(aud="Diabetes"),
    "the issuer's own": FORGER.with_claims(aud=ISSUER),
    "of a key that is gone": Forger(OLD, issuer=ISSUER, service="diabetes", now=NOW).good,
    "of a key that retires, too long": FORGER.with_claims(exp=NOW + 7200),
    "expired": FORGER.with_claims(iat=NOW - 60, nbf=NOW - 60, exp=NOW - 1),
    "expired this moment": FORGER.with_claims(iat=NOW - 60, nbf=NOW - 60, exp=NOW),
    "not valid yet": FORGER.with_claims(nbf=NOW + 40),
    "issued in the future": FORGER.with_claims(iat=NOW + 40),
    "of an earlier service of this name": FORGER.with_claims(iat=BORN - 1),
    "revoked with all": FORGER.with_claims(iat=NOW - 501),
    "revoked by its id": FORGER.with_claims(jti="t-dead"),
    "revoked with its subject": FORGER.with_claims(sub="mallory"),
}
ATTACKS = attacks(FORGER) | BORROWED


class NoLimits:
    """Every request is within every limit."""

    def admit(self, *_):
        return 0.0

    def refund(self, *_):
        pass


def door(name):
    """The check of a service that opens with tokens, or with keys, too."""
    public = replace(KEY.verifying_key(), not_after=NOW + 3600.0)
    world = World(Trust(b"d" * 32, ISSUER, (public,)), NoLimits())
    digest = KeyEntry(key.digest(b"d" * 32, key.generate().encode()), "k_1", "primary")
    spec = ServiceSpec(backends=("http://b",), **DOORS[name])
    entry = ServiceEntry(name="diabetes", spec=spec, keys=(digest,), deployments=(), born=BORN, revoked=REVOKED)
    return authenticate.compile_check(entry, world)


CHECKS = {name: door(name) for name in DOORS}


def knock(name, credential):
    request = Exchange(
        b"POST", b"/score", b"", [(b"authorization", b"Authorization", b"Bearer " + credential)], wall=NOW
    )
    request.operation = "score"
    return CHECKS[name](request), request


@pytest.mark.parametrize("name", DOORS)
def test_control_the_good_one_opens(name):
    """Before all attacks and after them: nothing they did is remembered."""
    for _ in range(2):
        reply, request = knock(name, FORGER.good)
        assert reply is None
        assert request.caller.subject == "alice"
        for attack in ATTACKS.values():
            knock(name, attack)


def test_there_are_enough():
    """No two are the same bytes."""
    assert len(set(ATTACKS.values())) == len(ATTACKS) > 160


@pytest.mark.parametrize("name", DOORS)
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_an_attack_is_refused(name, attack):
    """401 `invalid_token`, with a sentence for people in challenge and body, and nothing of the token in either."""
    reply, request = knock(name, attack)
    assert reply is not None
    assert reply.status == 401
    assert request.caller is ANONYMOUS
    ((field, challenge),) = reply.headers
    assert field == b"www-authenticate"
    assert challenge.startswith(b'Bearer realm="scoregate", error="invalid_token", error_description="')
    shown = challenge + reply.document("r-1")
    parts = [part for part in attack.split(b".") if len(part) > 8]
    assert not [part for part in parts if part in shown]
    assert not [
        word for word in (b"mallory", b"alice", b"evil", KEY.kid.encode(), STRANGER.kid.encode()) if word in shown
    ]


def test_the_right_service_without_the_verb_is_another_thing():
    """403 `insufficient_scope`: the token is good, and told so."""
    for scope in ("swagger", "batch", "", "Score", "scores"):
        reply, _ = knock("token", FORGER.with_claims(scope=scope))
        assert reply.status == 403
        assert b'error="insufficient_scope"' in reply.headers[0][1]


def test_control_a_lax_verifier_is_fooled():
    """PyJWT with the key, its algorithm and its own checks on opens to many of these."""
    options = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}

    def opens(attack):
        try:
            jwt.decode(
                attack, KEY.private_key.public_key(), ["EdDSA"], audience="diabetes", issuer=ISSUER, options=options
            )
        except (jwt.InvalidTokenError, RecursionError, UnicodeError):
            return False
        return True

    fooled = {name for name, attack in ATTACKS.items() if opens(attack)}
    assert {"typ JWT", "kid unknown", "alg twice", "aud twice", "revoked by its id"} <= fooled
    assert len(fooled) >= 40


@pytest.mark.prove
def test_a_refusal_takes_less_than_ten_milliseconds():
    """Each of them, the third time at the latest: CPU time of this process."""
    for attack in ATTACKS.values():
        spent = []
        for _ in range(3):
            before = time.process_time()
            knock("both", attack)
            spent.append(time.process_time() - before)
        assert min(spent) < 0.010
