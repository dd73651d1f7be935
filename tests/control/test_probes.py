"""Probes against a real little backend: when it is well, when it is left alone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from gateway.control.probes import Probes
from gateway.core.ejection import EJECTED, IN, SUSPECT
from gateway.core.snapshot import BackendEntry, DeploymentEntry, ServiceEntry
from gateway.core.spec import BackendTlsSpec, HealthSpec

QUICK = HealthSpec(interval_seconds=0.02, timeout_seconds=0.1, failure_threshold=2, success_threshold=2)


class Backend:
    """Answers GET with `status`; hangs while `hangs`; counts what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.hangs = False
        self.asked = 0
        self.paths: set[str] = set()
        self.seen = asyncio.Event()
        self.port = 0
        self._runner: web.AppRunner | None = None

    async def handle(self, request: web.Request) -> web.Response:
        self.asked += 1
        self.paths.add(request.path)
        self.seen.set()
        if self.hangs:
            await asyncio.sleep(60)
        return web.Response(status=self.status)

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=tls, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def until_asked(self, times: int = 1) -> None:
        wanted = self.asked + times
        async with asyncio.timeout(5):
            while self.asked < wanted:
                self.seen.clear()
                await self.seen.wait()


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    backend = Backend()
    await backend.start()
    yield backend
    await backend.stop()


@pytest.fixture
async def probes(board) -> AsyncIterator[Probes]:
    probes = Probes(board, delay=lambda: 0.0)
    yield probes
    await probes.close()


@pytest.fixture
def entry(make_spec, backend):
    def make(health: HealthSpec | None = QUICK, scheme: str = "http", **fields) -> ServiceEntry:
        deployment = DeploymentEntry("default", 100, (BackendEntry(f"{scheme}://localhost:{backend.port}", 0),))
        spec = make_spec(health=health, **fields)
        return ServiceEntry(name="diabetes", spec=spec, keys=(), deployments=(deployment,), born=1.0)

    return make


@pytest.fixture
def rig_of(probes, board, backend, entry):
    """All of the above."""
    return probes, board, backend, entry


async def test_healthy_dead_healthy(probes, board, backend, entry) -> None:
    """A backend that dies is found out, and so is its return."""
    probes.follow(entry())
    assert probes.state("diabetes", 0)[0] == "Transitioning"
    await board.until(lambda: probes.state("diabetes", 0)[0] == "Healthy")
    await backend.stop()
    await board.until(lambda: not board.healthy(0))
    state, since = probes.state("diabetes", 0)
    assert state == "Unhealthy"
    await backend.start()
    await board.until(lambda: board.healthy(0))
    assert probes.state("diabetes", 0)[1] > since


@pytest.mark.parametrize(
    ("path", "status", "is_well"),
    [("/", 404, True), ("/", 500, False), ("/up", 204, True), ("/up", 302, True), ("/up", 404, False)],
)
async def test_statuses(rig_of, path: str, status: int, is_well: bool) -> None:
    """The default path wants any answer below 500, a chosen one 200 to 399."""
    probes, board, backend, entry = rig_of
    backend.status = status
    probes.follow(entry(HealthSpec(path=path, interval_seconds=0.02, failure_threshold=1)))
    await board.until(lambda: probes.state("diabetes", 0)[0] != "Transitioning")
    assert board.healthy(0) is is_well
    assert backend.paths == {path}


async def test_busy_backend_is_not_asked(probes, board, backend, entry) -> None:
    """While requests are outstanding no probe is sent; the control, without any, is asked."""
    board.busy[0] = 1
    probes.follow(entry())
    await asyncio.sleep(0.1)
    assert backend.asked == 0
    board.busy[0] = 0
    await backend.until_asked()


async def test_real_answers_stand_for_probes(probes, board, backend, entry) -> None:
    """A backend that serves is healthy without being asked, even one whose health path fails."""
    backend.status = 500
    probes.follow(entry(HealthSpec(interval_seconds=0.02, failure_threshold=1)))
    await board.until(lambda: not board.healthy(0))
    board.answers[0] = 1
    await board.until(lambda: board.healthy(0))


async def test_a_suspect_is_asked_at_once(probes, board, backend, entry) -> None:
    """Workers that gave a request up wake the prober, however long its interval: a good answer clears the suspicion."""
    board.wakeup = os.eventfd(0, os.EFD_NONBLOCK)
    probes.listen()
    probes.follow(entry(HealthSpec(interval_seconds=3600)))
    await board.until(lambda: probes.state("diabetes", 0)[0] == "Healthy")
    os.eventfd_write(board.wakeup, 1)
    assert backend.asked == 1
    board.standings[0] = (SUSPECT, 1.0)
    board.answers[0] = 1
    os.eventfd_write(board.wakeup, 1)
    await board.until(lambda: board.standing(0) == IN)
    assert backend.asked == 2
    await probes.close()
    os.close(board.wakeup)
    board.wakeup = None


async def test_a_bad_probe_clears_nothing(probes, board, backend, entry) -> None:
    """A suspect that answers badly stays one, and so does who was ejected although its probes are good."""
    backend.status = 500
    board.standings[0] = (SUSPECT, 1.0)
    probes.follow(entry())
    await board.until(lambda: not board.healthy(0))
    assert board.standing(0) == SUSPECT
    board.standings[0] = (EJECTED, 1.0)
    backend.status = 200
    await board.until(lambda: board.healthy(0))
    assert board.standing(0) == EJECTED


async def test_timeout_is_a_failure_of_an_idle_backend_only(probes, board, backend, entry) -> None:
    """A probe that finds a hanging idle backend fails; one that hangs behind a real request does not."""
    backend.hangs = True
    probes.follow(entry(HealthSpec(interval_seconds=0.02, timeout_seconds=0.05, failure_threshold=1)))
    await backend.until_asked()
    board.busy[0] = 1
    await asyncio.sleep(0.15)
    assert board.healthy(0)
    board.busy[0] = 0
    await board.until(lambda: not board.healthy(0))


async def test_stop_and_change(probes, board, backend, entry) -> None:
    """Dropped services are no longer asked; no probes means healthy; other changes leave the prober."""
    probes.follow(entry())
    await board.until(lambda: probes.state("diabetes", 0)[0] == "Healthy")
    since = probes.state("diabetes", 0)[1]
    probes.follow(entry(description="changed"))
    assert probes.state("diabetes", 0) == ("Healthy", since)
    await backend.stop()
    await board.until(lambda: not board.healthy(0))
    probes.follow(entry(None))
    assert board.healthy(0)
    assert probes.state("diabetes", 0)[0] == "Healthy"
    await backend.start()
    probes.follow(entry())
    await backend.until_asked()
    probes.drop("diabetes")
    await asyncio.sleep(0)
    asked = backend.asked
    await asyncio.sleep(0.1)
    assert backend.asked <= asked + 1


async def test_unhealthy_before_a_restart(probes, board, backend, entry) -> None:
    """What an earlier control process found is believed until this one has looked."""
    board.set_healthy(0, False)
    probes.follow(entry())
    assert probes.state("diabetes", 0)[0] == "Unhealthy"
    await board.until(lambda: board.healthy(0))


async def test_https_is_verified(rig_of, tmp_path, certificate) -> None:
    """An https backend is verified: unknown authority is unhealthy, the named one healthy."""
    probes, board, backend, entry = rig_of
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    await backend.stop()
    await backend.start(context)
    health = HealthSpec(interval_seconds=0.02, timeout_seconds=5, failure_threshold=1)
    with _quiet_loop():
        probes.follow(entry(health, "https"))
        await board.until(lambda: not board.healthy(0))
        probes.follow(entry(health, "https", backend_tls=BackendTlsSpec(ca=str(certificate))))
        await board.until(lambda: board.healthy(0))
        probes.follow(entry(health, "https", backend_tls=BackendTlsSpec(ca=str(tmp_path / "missing.pem"))))
        await board.until(lambda: not board.healthy(0))


@contextlib.contextmanager
def _quiet_loop():
    """The server side reports the handshakes that the client breaks off."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, _context: None)
    try:
        yield
    finally:
        loop.set_exception_handler(None)
