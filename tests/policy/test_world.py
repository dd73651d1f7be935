"""What all checks share: tokens are verified once, and anew whenever the keys change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core.exchange import Caller
from gateway.core.jwk import SigningKey
from gateway.core.jws import TokenError
from gateway.policy import world as world_module


def test_a_token_is_verified_once(world, issue):
    """Its claims, and whom it lets in, are remembered by its text."""
    credential = issue().encode()
    known = world.verify(credential)
    assert world.verified == {credential: known}
    claims, caller = known
    assert caller == Caller("token", "alice", claims.token_id)


def test_a_refused_token_is_not_remembered(world, issue, monkeypatch):
    """It is refused each time, and takes no place from one that opens."""
    monkeypatch.setattr(world_module, "MAX_VERIFIED_TOKENS", 1)
    credential = issue().encode()
    world.verify(credential)
    for _ in range(2):
        with pytest.raises(TokenError):
            world.verify(b"eyJ.x.y")
    assert credential in world.verified


def test_what_is_remembered_is_bounded(world, issue, monkeypatch):
    """The oldest token makes room; it still opens, by being verified again."""
    monkeypatch.setattr(world_module, "MAX_VERIFIED_TOKENS", 2)
    first, second, third = (issue().encode() for _ in range(3))
    for credential in (first, second, third):
        world.verify(credential)
    assert list(world.verified) == [second, third]
    world.verify(first)
    assert list(world.verified) == [third, first]


def test_a_token_of_a_key_that_is_gone_is_forgotten(world, issue):
    """And refused when it comes again; those of the keys that stay are not verified anew."""
    other = SigningKey.generate("EdDSA")
    world.replace_trust(replace(world.trust, verifying_keys=(*world.trust.verifying_keys, other.verifying_key())))
    gone, stays = issue().encode(), issue(by=other).encode()
    world.verify(gone)
    known = world.verify(stays)
    world.replace_trust(replace(world.trust, verifying_keys=(other.verifying_key(),)))
    assert world.verified == {stays: known}
    assert world.verified[stays] is known
    with pytest.raises(TokenError):
        world.verify(gone)


@pytest.mark.parametrize(("not_after", "stays"), [(60, True), (59, False), (None, True)])
def test_a_key_that_retires_keeps_its_tokens(world, issue, wall, not_after, stays):
    """All that end before it; a longer one was none of ours."""
    credential = issue(lifetime=60).encode()
    world.verify(credential)
    (key,) = world.trust.verifying_keys
    retiring = replace(key, not_after=not_after and wall + not_after)
    world.replace_trust(replace(world.trust, verifying_keys=(retiring,)))
    assert (credential in world.verified) is stays


def test_another_issuer_s_tokens_are_forgotten(world, issue):
    """The same key under another name: what was verified belonged to the old one."""
    credential = issue().encode()
    world.verify(credential)
    world.replace_trust(replace(world.trust, issuer="urn:other"))
    assert not world.verified
    with pytest.raises(TokenError, match="somebody else"):
        world.verify(credential)


def test_checks_find_the_counters(world, cells, trust):
    """The cells and the trust it was made with."""
    assert world.cells is cells
    assert world.trust is trust
