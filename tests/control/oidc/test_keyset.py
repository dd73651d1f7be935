"""Which keys of a set verify, and by which algorithm."""

from __future__ import annotations

import pytest

from gateway.control.oidc.keyset import MAX_KEYS, verifying_keys
from gateway.core.jwk import SigningKey

MADE = {algorithm: SigningKey.generate(algorithm).verifying_key().jwk for algorithm in ("RS256", "ES256", "EdDSA")}


@pytest.mark.parametrize("algorithm", MADE)
def test_the_algorithm_is_the_one_of_the_key(algorithm: str) -> None:
    """What the key says, or what its kind is for when it says nothing, as those of Entra ID."""
    silent = {name: value for name, value in MADE[algorithm].items() if name != "alg"}
    for jwk in (MADE[algorithm], silent, {**silent, "use": "sig", "x5c": ["ignored"], "key_ops": ["verify"]}):
        (found,) = verifying_keys({"keys": [jwk]}).values()
        assert found.algorithm == algorithm


@pytest.mark.parametrize(
    "changes",
    [
        {"alg": "HS256"},
        {"alg": "none"},
        {"alg": 5},
        {"alg": "ES256", "kty": "RSA"},
        {"kty": "oct", "k": "c2VjcmV0", "alg": None},
        {"use": "enc"},
        {"key_ops": ["sign"]},
        {"kid": None},
        {"kid": 7},
        {"crv": "P-384"},
        {"x": "AA"},
        {"x": None},
        {"d": "AAAA"},
    ],
)
def test_others_are_left_out(changes: dict[str, object]) -> None:
    """A key for something else, of another kind, or broken does not verify, and takes no other key along."""
    bad = {name: value for name, value in {**MADE["ES256"], **changes}.items() if value is not None}
    if "kid" not in changes:
        bad["kid"] = "bad"
    assert list(verifying_keys({"keys": [bad, MADE["RS256"], "no object", None]})) == [MADE["RS256"]["kid"]]


def test_a_set_is_bounded() -> None:
    """A provider cannot fill the memory with keys."""
    many = [{**MADE["EdDSA"], "kid": str(number)} for number in range(2 * MAX_KEYS)]
    assert len(verifying_keys({"keys": many})) == MAX_KEYS
