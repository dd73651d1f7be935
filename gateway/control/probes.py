"""Asks every backend whether it lives: once per backend, not once per worker. What it finds goes to the scoreboard.

Real answers stand for probes: a backend that served since the last look is well, and one that is at work is left
alone, because a model server with one slot would let the probe wait. For the default path `/`, which nobody chose,
any answer below 500 is a sign of life; a path that was configured must answer 200 to 399.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import urlsplit

import aiohttp

from gateway.core.ejection import SUSPECT
from gateway.core.scoreboard import HealthBoard
from gateway.core.snapshot import ServiceEntry
from gateway.core.spec import BackendTlsSpec, HealthSpec

State = Literal["Healthy", "Unhealthy", "Transitioning"]
FIRST_PROBES_PER_SECOND = 200
UNCHOSEN_PATH = HealthSpec().path

log = logging.getLogger("gateway.control")


@dataclass(frozen=True, slots=True)
class Target:
    """One backend and how it is probed. Equal ones are probed the same: a change of the service leaves them alone."""

    service: str
    url: str
    address: str
    row: int
    health: HealthSpec
    tls: BackendTlsSpec | None

    @property
    def shown(self) -> str:
        """The backend as a person knows it."""
        return f"{self.url} ({self.address})" if self.address else self.url


class Prober:
    """Probes one target until cancelled.

    `state` is Transitioning until the first result, unless an earlier control process left it unhealthy.
    """

    def __init__(self, target: Target, board: HealthBoard, session: aiohttp.ClientSession) -> None:
        self.state: State = "Transitioning" if board.healthy(target.row) else "Unhealthy"
        self.since = datetime.now(UTC)
        self._target = target
        self._board = board
        self._session = session
        self._served = board.served(target.row)
        self._good = 0
        self._bad = 0
        self._tls: ssl.SSLContext | bool | None = None
        self._hurry = asyncio.Event()

    async def run(self, delay: float) -> None:
        """Look again and again, `delay` seconds from now first."""
        await asyncio.sleep(delay)
        while True:
            await self.look()
            seconds = self._target.health.interval_seconds * random.uniform(0.9, 1.1)  # noqa: S311 - jitter
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._hurry.wait()
            self._hurry.clear()

    def hurry(self) -> None:
        """Look now and not later, if the workers suspect this backend."""
        if self._board.standing(self._target.row) == SUSPECT:
            self._hurry.set()

    async def look(self) -> None:
        """One look: at the scoreboard, and at the backend itself if that says nothing."""
        row = self._target.row
        served = self._board.served(row)
        moved, self._served = served != self._served, served
        if moved and self._board.standing(row) != SUSPECT:
            self._judge(None)
        elif self._board.outstanding(row) == 0:
            await self._probe()

    async def _probe(self) -> None:
        try:
            reason = await self._ask()
            if reason is None:
                self._board.absolve(self._target.row)
            self._judge(reason)
        except TimeoutError:
            if self._board.outstanding(self._target.row) == 0:
                self._judge(f"no answer within {self._target.health.timeout_seconds:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            self._judge(str(error) or type(error).__name__)

    async def _ask(self) -> str | None:
        """None for a good answer, else what is wrong with it."""
        health = self._target.health
        timeout = aiohttp.ClientTimeout(total=health.timeout_seconds)
        if self._tls is None:
            self._tls = await asyncio.to_thread(_client_tls, self._target)
        url, host, name = _route(self._target)
        async with self._session.get(
            url + health.path,
            headers={"Host": host},
            timeout=timeout,
            ssl=self._tls,
            server_hostname=name,
            allow_redirects=False,
        ) as answer:
            lowest_bad = 500 if health.path == UNCHOSEN_PATH else 400
            return None if answer.status < lowest_bad else f"GET {health.path} was answered {answer.status}"

    def _judge(self, reason: str | None) -> None:
        health = self._target.health
        self._good, self._bad = (self._good + 1, 0) if reason is None else (0, self._bad + 1)
        first = self.state == "Transitioning"
        if reason is None and (first or self._good >= health.success_threshold):
            self._turn("Healthy", "answers")
        elif reason is not None and self._bad >= health.failure_threshold:
            self._turn("Unhealthy", reason)

    def _turn(self, state: State, why: str) -> None:
        if state == self.state:
            return
        self._board.set_healthy(self._target.row, state == "Healthy")
        level = logging.WARNING if state == "Unhealthy" else logging.INFO
        log.log(level, "backend %s of %s is %s: %s", self._target.shown, self._target.service, state, why)
        self.state, self.since = state, datetime.now(UTC)


class Probes:
    """The probers of all services, started and stopped with changes of the catalogue."""

    def __init__(self, board: HealthBoard, *, delay: Callable[[], float] = random.random) -> None:
        """`delay` (0 to 1) spreads first probes."""
        self._board = board
        self._delay = delay
        self._running: dict[Target, tuple[Prober, asyncio.Task[None]]] = {}
        self._targets: dict[str, set[Target]] = {}
        self._rows: dict[str, dict[int, datetime]] = {}
        self._by_row: dict[int, Prober] = {}
        self._session: aiohttp.ClientSession | None = None
        self._alarm: int | None = None

    def listen(self) -> None:
        """Hear from now on when workers suspect a backend. Needs the running loop."""
        self._alarm = self._board.wakeup
        if self._alarm is not None:
            asyncio.get_running_loop().add_reader(self._alarm, self._on_alarm, self._alarm)

    async def close(self) -> None:
        """Stop all probers."""
        if self._alarm is not None:
            asyncio.get_running_loop().remove_reader(self._alarm)
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def follow(self, entry: ServiceEntry) -> None:
        """Probe the backends of the service as it is now; those that stay as they were are not disturbed."""
        backends = [backend for deployment in entry.deployments for backend in deployment.backends]
        rows = {backend.row for backend in backends}
        health, tls = entry.spec.health, entry.spec.backend_tls
        targets = set()
        if health is not None:
            targets = {Target(entry.name, one.url, one.address, one.row, health, tls) for one in backends}
        before = self._targets.get(entry.name, set())
        for target in before - targets:
            self._stop(target)
        self._targets[entry.name] = targets
        for target in targets - before:
            self._start(target)
        if health is None:
            for row in rows:
                self._board.set_healthy(row, healthy=True)
        followed, now = self._rows.get(entry.name, {}), datetime.now(UTC)
        self._rows[entry.name] = {row: followed.get(row, now) for row in rows}

    def drop(self, name: str) -> None:
        """Stop probing for this service."""
        for target in self._targets.pop(name, set()):
            self._stop(target)
        self._rows.pop(name, None)

    def state(self, service: str, row: int) -> tuple[State, datetime]:
        """What is known of a backend, and since when. Without probes it is taken to be healthy."""
        prober = self._by_row.get(row)
        if prober is not None:
            return prober.state, prober.since
        return "Healthy", self._rows[service][row]

    def _on_alarm(self, descriptor: int) -> None:
        os.eventfd_read(descriptor)
        for prober, _ in self._running.values():
            prober.hurry()

    def _start(self, target: Target) -> None:
        if self._session is None:
            # A kept connection would hide a listener that is gone; waiting for a free one would count as time-out.
            connector = aiohttp.TCPConnector(limit=0, force_close=True)
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        prober = Prober(target, self._board, self._session)
        spread = min(target.health.interval_seconds, (len(self._running) + 1) / FIRST_PROBES_PER_SECOND)
        task = asyncio.get_running_loop().create_task(prober.run(self._delay() * spread))
        self._running[target] = prober, task
        self._by_row[target.row] = prober

    def _stop(self, target: Target) -> None:
        prober, task = self._running.pop(target)
        task.cancel()
        if self._by_row.get(target.row) is prober:
            del self._by_row[target.row]


def _route(target: Target) -> tuple[str, str, str | None]:
    """Where to connect (a URL without path), what to say in `Host`, which name TLS verifies (None: that of the URL).

    Like the workers: an address changes where a request goes, and nothing of what the container sees.
    """
    parts = urlsplit(target.url)
    name = target.tls.server_name if target.tls else None
    if not target.address:
        return target.url, parts.netloc, name
    address = f"[{target.address}]" if ":" in target.address else target.address
    port = "" if parts.port is None else f":{parts.port}"
    is_https = parts.scheme == "https"
    return f"{parts.scheme}://{address}{port}", parts.netloc, name or (parts.hostname if is_https else None)


def _client_tls(target: Target) -> ssl.SSLContext | bool:
    """How the backend is verified: by the system's authorities, unless the service names its own."""
    tls = target.tls
    if tls is None or not target.url.startswith("https:"):
        return True
    context = ssl.create_default_context(cafile=tls.ca)
    if tls.client_certificate is not None:
        context.load_cert_chain(tls.client_certificate, tls.client_key)
    return context
