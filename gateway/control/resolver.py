"""Which addresses the host names of backends lead to: asked again and again, so that pods come and go unattended.

A name that does not resolve keeps the addresses it had. `localhost` is left alone: its addresses are one machine, and
one container must not be counted twice.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from urllib.parse import urlsplit

from gateway.core.snapshot import ServiceEntry
from gateway.core.spec import ServiceSpec

INTERVAL_SECONDS = 5.0
PATIENCE_SECONDS = 1.0
MAX_ADDRESSES = 256
THREADS = 16

Lookup = Callable[[str], Sequence[str]]
"""Host name → addresses; blocks. Raises OSError or UnicodeError."""

log = logging.getLogger("gateway.control")


def lookup(host: str) -> list[str]:
    """What the system's resolver says, of the families this machine has an address of."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [str(address[0]) for *_, address in found]


@lru_cache(maxsize=65_536)
def host_name(url: str) -> str | None:
    """The host of a backend's URL, if it is a name to be resolved."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return None
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host
    return None


def host_names(specs: Iterable[ServiceSpec]) -> frozenset[str]:
    """All names to be resolved for these services."""
    urls = (url for spec in specs for deployment in spec.deployed.values() for url in deployment.backends)
    return frozenset(host for host in map(host_name, urls) if host)


class Resolver:
    """Names in use and their addresses. `run` asks again every `interval` seconds and tells when something changed."""

    def __init__(
        self, look: Lookup = lookup, *, interval: float = INTERVAL_SECONDS, patience: float = PATIENCE_SECONDS
    ) -> None:
        """`patience`: how long `settle` waits."""
        self._look = look
        self._interval = interval
        self._patience = patience
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="resolver")
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._failing: dict[str, str] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._followed: dict[str, frozenset[str]] = {}
        self._news = asyncio.Event()

    def addresses(self, url: str) -> tuple[str, ...]:
        """Where the host of a URL leads to, sorted; none for an address, and for a name that never resolved."""
        host = host_name(url)
        return self._addresses.get(host, ()) if host else ()

    async def settle(self, specs: Iterable[ServiceSpec]) -> None:
        """Wait until each name was asked for once, or patience ends: what is published first has its addresses."""
        asking = [self._ask(host) for host in host_names(specs) - self._addresses.keys() - self._failing.keys()]
        if asking:
            await asyncio.wait(asking, timeout=self._patience)

    def follow(self, entry: ServiceEntry) -> None:
        """Go on asking for the names of this service."""
        self._followed[entry.name] = host_names((entry.spec,))

    def drop(self, name: str) -> None:
        """The service is gone."""
        self._followed.pop(name, None)

    async def run(self, changed: Callable[[], Awaitable[bool]]) -> None:
        """Until cancelled. `changed` is called when a name leads elsewhere; it returns False to be called again."""
        repeating = asyncio.get_running_loop().create_task(self._repeat())
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                if not await self._told(changed):
                    await asyncio.sleep(self._interval)
                    self._news.set()
        finally:
            repeating.cancel()
            await asyncio.gather(repeating, return_exceptions=True)

    async def close(self) -> None:
        """Stop asking. A look-up that hangs is left to its thread."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _told(self, changed: Callable[[], Awaitable[bool]]) -> bool:
        try:
            return await changed()
        except Exception:
            log.exception("the new addresses of backends could not be published; trying again")
            return False

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            used = frozenset[str]().union(*self._followed.values())
            for known in (self._addresses, self._failing):
                for host in known.keys() - used - self._asking.keys():
                    del known[host]
            for host in used:
                self._ask(host)

    def _ask(self, host: str) -> asyncio.Task[None]:
        task = self._asking.get(host)
        if task is None:
            task = self._asking[host] = asyncio.get_running_loop().create_task(self._resolve(host))
            task.add_done_callback(lambda _: self._asking.pop(host, None))
        return task

    async def _resolve(self, host: str) -> None:
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._threads, self._look, host)
        except (OSError, UnicodeError) as error:
            self._failed(host, getattr(error, "strerror", None) or str(error))
        else:
            self._found(host, sorted({address for address in found if "%" not in address}))

    def _failed(self, host: str, why: str) -> None:
        if self._failing.get(host) != why:
            known = ", ".join(self._addresses.get(host, ())) or "its name, as no address is known"
            log.warning("the host name %s does not resolve (%s): backends stay at %s", host, why, known)
        self._failing[host] = why

    def _found(self, host: str, addresses: list[str]) -> None:
        if not addresses:
            self._failed(host, "no addresses")
            return
        if self._failing.pop(host, None) is not None:
            log.info("the host name %s resolves again", host)
        before, now = self._addresses.get(host, ()), tuple(addresses[:MAX_ADDRESSES])
        if now == before:
            return
        self._addresses[host] = now
        self._news.set()
        if len(addresses) > MAX_ADDRESSES:
            log.warning("the host name %s has %d addresses: %d are used", host, len(addresses), MAX_ADDRESSES)
        log.info("the host name %s leads to %s", host, _shown(before, now))


def _shown(before: Sequence[str], now: Sequence[str]) -> str:
    came, went = [one for one in now if one not in before], [one for one in before if one not in now]
    text = f"{len(now)} addresses" if len(now) > 1 else "one address"
    text += f", new: {', '.join(came)}" if came else ""
    return text + (f", gone: {', '.join(went)}" if went else "")
