"""What all checks share: tokens are verified once, and anew whenever the keys change."""

from __future__ import annotations

import pytest

from gateway.core.snapshot import Trust
from gateway.core.token import SigningKey, TokenError
from gateway.policy import world as world_module


def test_a_token_is_verified_once(world, issue):
    """The second time its claims are remembered: the very same value comes back."""
    credential = issue().encode()
    assert world.claims(credential) is world.claims(credential)
    assert world.claims(credential) is not world.claims(issue().encode())
    assert world.claims(credential).subject == "alice"


def test_a_refused_token_is_not_remembered(world, issue, monkeypatch):
    """It is refused each time, and takes no place from one that opens."""
    monkeypatch.setattr(world_module, "MAX_VERIFIED_TOKENS", 1)
    credential = issue().encode()
    known = world.claims(credential)
    for _ in range(2):
        with pytest.raises(TokenError):
            world.claims(b"eyJ.x.y")
    assert world.claims(credential) is known


def test_new_keys_judge_every_token_anew(world, issue):
    """A token that verified by a key which is gone is refused, although it was remembered."""
    credential = issue().encode()
    world.claims(credential)
    other = SigningKey.generate("EdDSA")
    world.replace_trust(Trust(world.trust.digest_key, world.trust.issuer, (other.verifying_key(),)))
    with pytest.raises(TokenError):
        world.claims(credential)
    assert world.claims(issue(by=other).encode()).kid == other.kid


def test_what_is_remembered_is_bounded(world, issue, monkeypatch):
    """The oldest token makes room; it still opens, by being verified again."""
    monkeypatch.setattr(world_module, "MAX_VERIFIED_TOKENS", 2)
    first, second, third = (issue().encode() for _ in range(3))
    known = {credential: world.claims(credential) for credential in (first, second, third)}
    assert world.claims(second) is known[second]
    assert world.claims(third) is known[third]
    again = world.claims(first)
    assert again is not known[first]
    assert again == known[first]


def test_checks_find_the_counters(world, cells, trust):
    """The cells and the trust it was made with."""
    assert world.cells is cells
    assert world.trust is trust
