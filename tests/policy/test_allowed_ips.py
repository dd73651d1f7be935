"""Which addresses may call."""

from __future__ import annotations

import pytest

from gateway.policy.allowed_ips import compile_check

RANGES = ("10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32")


def test_without_ranges_there_is_no_check(entry, world):
    """Every address may call, at no cost."""
    assert compile_check(entry(), world) is None


@pytest.mark.parametrize(
    ("address", "may"),
    [
        ("10.0.0.0", True),
        ("10.255.255.255", True),
        ("11.0.0.0", False),
        ("9.255.255.255", False),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("::ffff:10.1.2.3", True),
        ("::ffff:11.1.2.3", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("::1", False),
        ("::10.0.0.1", False),
    ],
)
def test_only_addresses_within_a_range_may_call(address, may, entry, world, exchange):
    """The edges of each range; an IPv4 address is the same one when it arrives on an IPv6 socket."""
    reply = compile_check(entry(allowed_ips=RANGES), world)(exchange(peer=address))
    assert (reply is None) is may
    if reply is not None:
        assert (reply.status, reply.reason, reply.stage) == (403, "address_not_allowed", "policy")
        assert address in reply.detail


def test_the_address_is_the_one_that_was_decided(entry, world, exchange):
    """Behind a trusted proxy the client's address counts, not the proxy's."""
    check = compile_check(entry(allowed_ips=RANGES), world)
    behind_proxy = exchange(peer="10.0.0.1")
    behind_proxy.address = "203.0.113.9"
    assert check(behind_proxy).reason == "address_not_allowed"


def test_a_field_does_not_make_an_address(entry, world, exchange):
    """X-Forwarded-For by itself moves nobody into a range."""
    check = compile_check(entry(allowed_ips=RANGES), world)
    spoofed = exchange((b"X-Forwarded-For", b"10.0.0.1"), (b"Forwarded", b"for=10.0.0.1"), peer="203.0.113.9")
    assert check(spoofed).reason == "address_not_allowed"
