"""Host names of backends: each address a backend of its own, asked for again and again, kept when nobody answers."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import web

from gateway.control.probes import Probes
from gateway.control.resolver import MAX_ADDRESSES, Resolver, host_name, lookup
from gateway.core.snapshot import BackendEntry, DeploymentEntry, ServiceEntry
from gateway.core.spec import HealthSpec

MODEL = "http://model.test:5001"


class Names:
    """A DNS of the test's own. `gate` cleared: answers wait."""

    def __init__(self, **hosts: list[str]) -> None:
        self.hosts = {name.replace("_", "."): addresses for name, addresses in hosts.items()}
        self.asked: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        self.gate.wait(10)
        if host not in self.hosts:
            raise OSError(-2, "Name or service not known")
        return self.hosts[host]


@pytest.fixture
def names():
    made = Names(model_test=["10.0.0.2", "10.0.0.1"])
    yield made
    made.gate.set()


@pytest.fixture
async def make_site(make_rig, names) -> AsyncIterator[Callable]:
    """A rig whose resolver runs, and its one worker."""
    tasks = []

    async def make(services=None, **options):
        rig = await make_rig(services or {}, look=names, **options)
        tasks.append(asyncio.create_task(rig.resolver.run(rig.catalog.readdress)))
        return rig, await rig.ready_worker("a")

    yield make
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def addresses(owner, name: str = "one") -> list[str]:
    """Addresses of a service's backends, as a worker or a catalogue has them."""
    entry = owner.services[name] if hasattr(owner, "updates") else owner.entry(name)
    return [backend.address for backend in entry.deployments[0].backends]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (MODEL, "model.test"),
        ("https://Model.Test", "model.test"),
        ("http://10.0.0.1:5001", None),
        ("http://[2001:db8::1]:5001", None),
        ("http://localhost:5001", None),
        ("http://model.localhost:5001", None),
    ],
)
def test_what_is_resolved(url: str, name: str | None) -> None:
    """Names are; addresses need not be, and localhost is one machine whatever its addresses are."""
    assert host_name(url) == name


def test_the_system_is_asked() -> None:
    """The real look-up gives addresses as texts, and raises for a name that cannot exist."""
    assert set(lookup("localhost")) <= {"127.0.0.1", "::1"}
    assert lookup("localhost")
    with pytest.raises(OSError):
        lookup("no-such-name.invalid")


async def test_localhost_is_one_backend(make_rig, make_spec) -> None:
    """With the system's own resolver localhost stays one backend, connected to by its name."""
    rig = await make_rig({"one": make_spec(backends=("http://localhost:5001",))}, look=lookup)
    assert rig.catalog.entry("one").deployments[0].backends == (BackendEntry("http://localhost:5001", 0),)


async def test_each_address_is_a_backend(make_site, make_spec, board) -> None:
    """What is published first has a backend for each address, IPv4 and IPv6, each with a row of its own."""
    _, worker = await make_site({"one": make_spec(backends=(MODEL, "http://10.9.9.9:1"))})
    backends = worker.services["one"].deployments[0].backends
    assert [(one.url, one.address) for one in backends] == [
        (MODEL, "10.0.0.1"),
        (MODEL, "10.0.0.2"),
        ("http://10.9.9.9:1", ""),
    ]
    assert len({one.row for one in backends}) == 3
    assert board.owners[backends[0].row] == f"one default {MODEL} 10.0.0.1"
    assert board.owners[backends[2].row] == "one default http://10.9.9.9:1"


async def test_addresses_come_and_go(make_site, make_spec, names, caplog) -> None:
    """An address that appears or goes is published at once; those that stay keep their rows; log lines name both."""
    rig, worker = await make_site({"one": make_spec(backends=(MODEL,))})
    caplog.set_level(logging.INFO)
    first = {one.address: one.row for one in worker.services["one"].deployments[0].backends}
    names.hosts["model.test"] = ["2001:db8::1", "10.0.0.2"]
    await until(lambda: addresses(worker) == ["10.0.0.2", "2001:db8::1"])
    after = {one.address: one.row for one in worker.services["one"].deployments[0].backends}
    assert after["10.0.0.2"] == first["10.0.0.2"]
    await until(lambda: addresses(rig.catalog) == addresses(worker))
    assert "the host name model.test leads to 2 addresses, new: 2001:db8::1, gone: 10.0.0.1" in caplog.text


async def test_only_services_of_that_name_are_published(make_site, make_spec, names) -> None:
    """A change of one name leaves the services of other names alone."""
    names.hosts["other.test"] = ["10.1.1.1"]
    _, worker = await make_site(
        {"one": make_spec(backends=(MODEL,)), "two": make_spec(backends=("http://other.test",))}
    )
    untouched = worker.services["two"]
    names.hosts["model.test"] = ["10.0.0.7"]
    await until(lambda: addresses(worker) == ["10.0.0.7"])
    assert worker.services["two"] is untouched


async def test_failing_names_keep_their_addresses(make_site, make_spec, names, caplog) -> None:
    """A name that stops resolving, or resolves to nothing, keeps its addresses; it is told once and when it heals."""
    caplog.set_level(logging.INFO)
    _, worker = await make_site({"one": make_spec(backends=(MODEL,))})
    for trouble in ("fails", "is empty"):
        del names.hosts["model.test"]
        if trouble == "is empty":
            names.hosts["model.test"] = []
        asked = len(names.asked)
        await until(lambda before=asked: len(names.asked) >= before + 4)
        assert addresses(worker) == ["10.0.0.1", "10.0.0.2"]
        names.hosts["model.test"] = ["10.0.0.2", "10.0.0.1"]
        asked = len(names.asked)
        await until(lambda before=asked: len(names.asked) >= before + 2)
    assert caplog.text.count("model.test does not resolve (Name or service not known)") == 1
    assert caplog.text.count("backends stay at 10.0.0.1, 10.0.0.2") == 2
    assert caplog.text.count("model.test resolves again") == 2


async def test_a_name_that_never_resolved(make_site, make_spec, names) -> None:
    """Before its first answer a backend is connected to by name; then its addresses take over."""
    _, worker = await make_site({"one": make_spec(backends=("http://late.test:1",))})
    assert addresses(worker) == [""]
    names.hosts["late.test"] = ["10.0.0.5"]
    await until(lambda: addresses(worker) == ["10.0.0.5"])


async def test_a_slow_resolver_holds_nobody_up(make_site, make_spec, names, make_rig) -> None:
    """A start and a new service wait for a resolver that hangs no longer than its patience."""
    rig, worker = await make_site({})
    rig.resolver._patience = 0.05
    names.gate.clear()
    async with asyncio.timeout(5):
        await rig.catalog.put("one", lambda _: make_spec(backends=(MODEL,)))
    assert addresses(worker) == [""]
    names.gate.set()
    await until(lambda: addresses(worker) == ["10.0.0.1", "10.0.0.2"])


async def test_names_nobody_uses_are_not_asked_for(make_site, make_spec, names) -> None:
    """When its last service goes a name is forgotten."""
    rig, _ = await make_site()
    await rig.catalog.put("one", lambda _: make_spec(backends=(MODEL,)))
    await until(lambda: len(names.asked) >= 3)
    await rig.catalog.delete("one", lambda _: None)
    await until(lambda: not rig.resolver.addresses(MODEL))
    asked = len(names.asked)
    await asyncio.sleep(0.1)
    assert len(names.asked) == asked


async def test_bounds(make_spec, names) -> None:
    """No more than 256 addresses of a name are used, and none that is bound to a network card."""
    names.hosts["model.test"] = [f"10.0.{n // 250}.{n % 250}" for n in range(400)] + ["fe80::1%eth0"]
    resolver = Resolver(names)
    await resolver.settle([make_spec(backends=(MODEL,))])
    assert len(resolver.addresses(MODEL)) == MAX_ADDRESSES
    assert not [one for one in resolver.addresses(MODEL) if one.startswith("fe80")]
    await resolver.close()


async def test_what_a_worker_cannot_serve_is_tried_again(make_site, make_spec, names) -> None:
    """New addresses that a worker does not take are taken back and published again until it does."""
    rig, worker = await make_site({"one": make_spec(backends=(MODEL,))})
    worker.refuses = {"one": "its CA file cannot be read."}
    updates = worker.updates
    names.hosts["model.test"] = ["10.0.0.9"]
    await until(lambda: worker.updates >= updates + 4)
    async with rig.catalog._lock:
        assert addresses(rig.catalog) == addresses(worker) == ["10.0.0.1", "10.0.0.2"]
    worker.refuses = {}
    await until(lambda: addresses(worker) == ["10.0.0.9"])


async def test_control_a_resolver_that_asks_once(make_rig, make_spec, names) -> None:
    """Control: with a resolver that does not run, a change of the name goes unnoticed."""
    rig = await make_rig({"one": make_spec(backends=(MODEL,))}, look=names)
    names.hosts["model.test"] = ["10.0.0.7"]
    await asyncio.sleep(0.1)
    assert addresses(rig.catalog) == ["10.0.0.1", "10.0.0.2"]


async def test_probes_go_to_the_address(board, make_spec) -> None:
    """A probe connects to the address and says the URL's host: two backends of one name are told apart."""
    seen: list[tuple[str, str]] = []

    async def handle(request: web.Request) -> web.Response:
        assert request.transport is not None
        seen.append((request.transport.get_extra_info("sockname")[0], request.headers["Host"]))
        return web.Response()

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.2", 0).start()
    port = runner.addresses[0][1]
    url = f"http://model.test:{port}"
    health = HealthSpec(interval_seconds=0.02, failure_threshold=1)
    backends = (BackendEntry(url, 0, "127.0.0.2"), BackendEntry(url, 1, "127.0.0.3"))
    probes = Probes(board, delay=lambda: 0.0)
    probes.follow(
        ServiceEntry(
            name="one",
            spec=make_spec(health=health),
            keys=(),
            deployments=(DeploymentEntry("default", 100, backends),),
            born=1.0,
        )
    )
    await board.until(lambda: not board.healthy(1))
    await until(lambda: seen)
    assert board.healthy(0)
    assert seen[0] == ("127.0.0.2", f"model.test:{port}")
    await probes.close()
    await runner.cleanup()
