"""Lets only addresses within `allowed_ips` pass. The address is the peer's, or what a trusted proxy says it is."""

from __future__ import annotations

import ipaddress

from gateway.core.exchange import Exchange
from gateway.core.problem import Reply
from gateway.core.route import Check
from gateway.core.snapshot import ServiceEntry
from gateway.policy.world import World


def compile_check(entry: ServiceEntry, world: World) -> Check | None:
    """The check of this service; None when every address may call."""
    if not entry.spec.allowed_ips:
        return None
    networks = tuple(ipaddress.ip_network(text) for text in entry.spec.allowed_ips)

    def allowed_ips(exchange: Exchange) -> Reply | None:
        address = ipaddress.ip_address(exchange.address)
        mapped = getattr(address, "ipv4_mapped", None)
        if any((mapped or address) in network for network in networks):
            return None
        return Reply(403, "address_not_allowed", f"{exchange.address} is not among the allowed_ips of {entry.name}.")

    return allowed_ips
