"""Addresses as those who count by them see them."""

from __future__ import annotations

import ipaddress

HOME_BITS = 64


def network_of(address: str) -> str:
    """What counts as one caller: an IPv4 address, or an IPv6 /64, since whoever has one address of it has them all.

    What is no address counts as itself.
    """
    if ":" not in address:
        return address
    try:
        known = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if known.ipv4_mapped is not None:
        return str(known.ipv4_mapped)
    return str(ipaddress.IPv6Network((known, HOME_BITS), strict=False))
