"""A provider, and somebody who asks it by clocks that the test turns."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession

sys.path.insert(0, str(Path(__file__).parents[1]))

from oidc_provider import AUDIENCE, OidcProvider

from gateway.control.oidc import Identities, Provider
from gateway.core.settings import OidcSettings

ROLES = {"owner": ["ml"], "contributor": ["{service}:contributor"], "reader": ["everybody"]}


class Asking:
    """What the gateway has of a provider. `now` (monotonic) and `wall` are turned by the test."""

    def __init__(self, issuer: str, **settings: object) -> None:
        self.now, self.wall = 1000.0, time.time()
        self.provider = Provider(issuer, ClientSession(), lambda: self.now)
        made = OidcSettings(**{"issuer": issuer, "audience": AUDIENCE, "roles": ROLES, **settings})
        self.identities = Identities(made, self.provider, lambda: self.wall)

    async def claims(self, bearer: str):
        return await self.identities.claims(bearer)


@pytest.fixture
async def server() -> AsyncIterator[OidcProvider]:
    running = await OidcProvider().start()
    yield running
    await running.stop()


@pytest.fixture
async def ask(server) -> AsyncIterator[type[Asking]]:
    """`ask(**settings)`: a gateway that trusts the provider."""
    made: list[Asking] = []

    def make(**settings: object) -> Asking:
        made.append(Asking(server.issuer, **settings))
        return made[-1]

    yield make
    for one in made:
        await one.provider.close()
