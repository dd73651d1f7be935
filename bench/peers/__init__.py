"""The proxies that are compared, one file each: how it is had, how it is set up and started."""

from __future__ import annotations

from bench.peers.aiohttp import AIOHTTP
from bench.peers.caddy import CADDY
from bench.peers.direct import DIRECT
from bench.peers.envoy import ENVOY
from bench.peers.haproxy import HAPROXY
from bench.peers.litellm import LITELLM
from bench.peers.nginx import NGINX
from bench.peers.scoregate import SCOREGATE

PEERS = [NGINX, HAPROXY, ENVOY, CADDY, AIOHTTP, LITELLM]
"""Whom the gateway is compared with."""

__all__ = ["DIRECT", "PEERS", "SCOREGATE"]
