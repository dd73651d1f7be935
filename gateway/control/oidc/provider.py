"""The provider: where it publishes its keys, and the keys, fetched when they are needed and kept.

One fetch at a time, whoever waits for it. Keys that were fetched go on when the provider is away.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession

from gateway.control.oidc.keyset import verifying_keys
from gateway.core.jwk import PublicKey
from gateway.core.scalar import LOOPBACK

DISCOVERY = "/.well-known/openid-configuration"
FETCH_SECONDS = 5.0
REFETCH_SECONDS = 30.0
"""A key that is not known may be new, or made up: the set is fetched again for its sake at most so often."""
RETRY_SECONDS = 5.0
"""The same while there are no keys at all."""
REFRESH_SECONDS = 900.0
"""So old, the set is fetched again while it serves: a key that the provider took out ends here, too."""
MAX_BYTES = 1 << 20

log = logging.getLogger("gateway.control")


class ProviderAway(Exception):  # noqa: N818 - a state of affairs the caller may meet, no mistake
    """The provider cannot be asked, and without it the token cannot be judged. `seconds`: when to try again."""

    def __init__(self, issuer: str, seconds: float) -> None:
        super().__init__(f"The keys of {issuer} cannot be fetched now; the log of the gateway says why.")
        self.seconds = seconds


class Provider:
    """The keys of one issuer. Needs a running loop; close it."""

    def __init__(self, issuer: str, session: ClientSession, clock: Callable[[], float] = time.monotonic) -> None:
        self.issuer = issuer
        self._session = session
        self._clock = clock
        self._keys: dict[str, PublicKey] = {}
        self._flight: asyncio.Task[None] | None = None
        self._asked_at = float("-inf")
        self._is_away = False

    async def key(self, kid: str) -> PublicKey | None:
        """The key of this name; None when the provider has no such key. Raises ProviderAway."""
        known = self._keys.get(kid)
        if known is None and self._seconds_to_next() <= 0:
            await asyncio.shield(self.fetch())
            known = self._keys.get(kid)
        elif known is not None and self._clock() - self._asked_at >= self._refresh_after():
            self.fetch()
        if known is None and self._is_away:
            raise ProviderAway(self.issuer, max(1.0, self._seconds_to_next()))
        return known

    def fetch(self) -> asyncio.Task[None]:
        """Fetch the keys, unless that is going on already. The task never fails."""
        if self._flight is None or self._flight.done():
            self._asked_at = self._clock()
            self._flight = asyncio.get_running_loop().create_task(self._fetch())
        return self._flight

    async def close(self) -> None:
        """End a fetch that is going on, and the session."""
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.gather(self._flight, return_exceptions=True)
        await self._session.close()

    def _seconds_to_next(self) -> float:
        if self._flight is not None and not self._flight.done():
            return 0.0
        return self._asked_at + (REFETCH_SECONDS if self._keys else RETRY_SECONDS) - self._clock()

    def _refresh_after(self) -> float:
        return REFETCH_SECONDS if self._is_away else REFRESH_SECONDS

    async def _fetch(self) -> None:
        try:
            keys = await self._fetched()
        except (ClientError, TimeoutError, ValueError, RecursionError) as error:
            if not self._is_away:
                # The reason says all: where it was raised tells an operator nothing.
                log.error("the keys of admin.oidc.issuer %s cannot be fetched: %s", self.issuer, _reason(error))  # noqa: TRY400
            self._is_away = True
            return
        if self._is_away or keys.keys() != self._keys.keys():
            log.info("admin.oidc.issuer %s: %d keys fetched", self.issuer, len(keys))
        self._is_away = False
        self._keys = keys

    async def _fetched(self) -> dict[str, PublicKey]:
        async with asyncio.timeout(FETCH_SECONDS):
            discovered = await self._document(self.issuer.removesuffix("/") + DISCOVERY)
            if discovered.get("issuer") != self.issuer:
                raise ValueError("its discovery document names another issuer: write admin.oidc.issuer exactly like it")
            keys = verifying_keys(await self._document(_safe(discovered.get("jwks_uri"))))
        if not keys:
            raise ValueError("its key set has no key that verifies signatures")
        return keys

    async def _document(self, url: str) -> dict[str, Any]:
        """The JSON object at the URL. No redirects: they would make somebody else the provider."""
        async with self._session.get(url, allow_redirects=False) as response:
            if response.status != 200:
                raise ValueError(f"{url} answered {response.status}")
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise ValueError(f"{url} answered more than {MAX_BYTES} bytes")
        document = json.loads(body)
        if not isinstance(document, dict):
            raise ValueError(f"{url} answered no JSON object")  # noqa: TRY004 - what came is a value, not our type
        return document


def _safe(url: object) -> str:
    parts = urlsplit(url if isinstance(url, str) else "")
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK):
        return parts.geturl()
    raise ValueError("its discovery document has no jwks_uri with https")


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
