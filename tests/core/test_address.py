"""Who counts as one caller."""

from __future__ import annotations

import pytest

from gateway.core.address import network_of


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("/run/socket", "/run/socket"),
        ("un:known", "un:known"),
    ],
)
def test_what_counts_as_one(address, network):
    """An IPv4 address by itself, an IPv6 address with all of its /64; what is no address by its text."""
    assert network_of(address) == network
