"""Reloads of a control process with fake workers: what changes, what is kept when it cannot, and what is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

import pytest

from gateway.control.refusal import Refused, StartError
from gateway.control.reload import Reloader, Status
from gateway.core import key
from gateway.core.settings import ScoringSettings, Settings
from gateway.core.spec import KeysSpec, ServiceSpec

SHARED = "score.example.com"


@dataclass
class Configuration:
    settings: Settings
    places: dict = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class FakeSource:
    """A file in memory. `text` is what a reading gives, or raises."""

    name = "gateway.yaml"

    def __init__(self) -> None:
        self.text: Configuration | Exception
        self.is_changed = False
        self.reads = 0
        self.kept: dict[str, ServiceSpec] | None = None

    def changed(self) -> bool:
        return self.is_changed

    def read(self) -> Configuration:
        self.reads += 1
        self.is_changed = False
        if isinstance(self.text, Exception):
            raise self.text
        return self.text

    def keep(self, configuration: Configuration, services: dict[str, ServiceSpec]) -> None:
        assert configuration is self.text
        self.kept = dict(services)


class Site:
    """A rig, one worker, a file and the reloader."""

    def __init__(self, rig, worker) -> None:
        self.rig, self.worker, self.source = rig, worker, FakeSource()
        self.status = Status(rig.settings)
        self.reloader = Reloader(self.source, rig.catalog, rig.settings, self.status, rig.audit.reloaded)

    async def reload(self, services, places=None, **changes) -> bool:
        settings = replace(self.rig.settings, services=services, **changes)
        self.source.text = Configuration(settings, places or {}, ())
        return await self.reloader.reload()

    def digests(self, name: str) -> set[bytes]:
        return {entry.digest for entry in self.worker.services[name].keys}

    def digest(self, value: str) -> bytes:
        return key.digest(self.rig.trust.digest_key, value.encode())


@pytest.fixture
def make_site(make_rig) -> Callable:
    async def make(services=None, **options) -> Site:
        rig = await make_rig(services or {}, services=services or {}, **options)
        return Site(rig, await rig.ready_worker("a"))

    return make


@pytest.fixture
async def running() -> AsyncIterator[Callable]:
    """Runs a reloader, with its event, as the control process does."""
    tasks = []

    def run(site: Site) -> asyncio.Event:
        asked = asyncio.Event()
        tasks.append(asyncio.create_task(site.reloader.run(asked, 0.01)))
        return asked

    yield run
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_added_changed_removed(make_site, make_spec) -> None:
    """One update brings all changes of the file to the workers; what did not change is not sent."""
    site = await make_site({"same": make_spec(), "goes": make_spec(), "other": make_spec(description="before")})
    untouched = site.worker.services["same"]
    updates = site.worker.updates
    after = {"same": make_spec(), "comes": make_spec(), "other": make_spec(description="after")}
    assert await site.reload(after)
    assert site.worker.updates == updates + 1
    assert set(site.worker.services) == set(site.rig.catalog.services) == {"same", "comes", "other"}
    assert site.worker.services["other"].spec.description == "after"
    assert site.worker.services["same"] is untouched
    assert site.rig.catalog.get("comes").record.origin == "file"
    assert site.status.reloads == {"success": 1, "failure": 0}
    assert site.source.kept == after


async def test_nothing_changed(make_site, make_spec, caplog) -> None:
    """A file that says the same changes nothing, and no worker hears of it."""
    services = {"same": make_spec()}
    site = await make_site(services)
    updates = site.worker.updates
    caplog.set_level(logging.INFO)
    assert await site.reload(dict(services))
    assert site.worker.updates == updates
    assert "gateway.yaml was read again: no service changed" in caplog.text


async def test_moved_lines_are_noticed(make_site, make_spec, file_place) -> None:
    """A service that only stands in another line is not published, but messages name the new line."""
    services = {"same": make_spec()}
    site = await make_site(services)
    await site.reload(services, {"same": file_place("gateway.yaml", 99)})
    with pytest.raises(Refused, match=r"gateway\.yaml, line 99"):
        await site.rig.catalog.delete("same", lambda _: None)


async def test_a_service_that_returns_has_its_keys(make_site, make_spec) -> None:
    """One that leaves the file and comes back opens with the keys it had; meanwhile it is gone from everywhere."""
    site = await make_site({"diabetes": make_spec()})
    before = site.rig.catalog.keys("diabetes")
    await site.reload({})
    assert site.worker.services == {}
    with pytest.raises(Refused):
        site.rig.catalog.keys("diabetes")
    assert "diabetes" in site.rig.store.service
    await site.reload({"diabetes": make_spec()})
    assert site.rig.catalog.keys("diabetes") == before


async def test_a_name_that_left_the_file_is_free(make_site, make_spec) -> None:
    """The admin API may make a service of a name that left the file; then the file may not take it back."""
    site = await make_site({"diabetes": make_spec()})
    await site.reload({})
    await site.rig.catalog.put("diabetes", lambda _: make_spec(description="by the API"))
    await site.reload({"diabetes": make_spec(description="by the file")})
    assert site.rig.catalog.get("diabetes").spec.description == "by the API"
    assert site.status.kept == ("diabetes",)


async def test_keys_in_the_file(make_site, make_spec) -> None:
    """A key whose value changes in the file is another version; the worker drops the old one and takes the new one."""
    given = KeysSpec("the-first-value", "the-other-value")
    site = await make_site({"diabetes": make_spec(keys=given)})
    await site.reload({"diabetes": make_spec(keys=replace(given, primary="the-second-value"))})
    assert site.digests("diabetes") == {site.digest("the-second-value"), site.digest("the-other-value")}
    assert site.rig.catalog.keys("diabetes")["primary"][1].version == 2
    await site.reload({"diabetes": make_spec()})
    assert site.digest("the-second-value") in site.digests("diabetes"), "no longer in the file, and still the key"
    made = await site.rig.catalog.regenerate("diabetes", "primary")
    assert site.digest(made.value) in site.digests("diabetes")


async def test_a_bad_file_changes_nothing(make_site, make_spec, caplog) -> None:
    """Mistakes are logged with their lines, the metric falls, what was served goes on; a good file then heals it."""
    site = await make_site({"diabetes": make_spec()})
    site.source.text = ValueError("gateway.yaml:3: scoring.listn: unknown key; did you mean listen?")
    assert await site.reloader.reload()
    assert "gateway.yaml:3: scoring.listn: unknown key" in caplog.text
    assert set(site.worker.services) == {"diabetes"}
    assert (site.status.is_successful, site.status.reloads["failure"]) == (False, 1)
    assert site.source.kept is None
    succeeded = site.status.succeeded_at
    await site.reload({"diabetes": make_spec(description="mended")})
    assert site.status.is_successful
    assert site.status.succeeded_at > succeeded


async def test_a_name_of_the_api(make_site, make_spec, caplog) -> None:
    """A service whose name the API owns is left out and named in log and metric; the others are served."""
    site = await make_site({})
    await site.rig.catalog.put("wine", lambda _: make_spec(description="by the API"))
    await site.reload({"wine": make_spec(), "iris": make_spec()})
    assert site.rig.catalog.get("wine").spec.description == "by the API"
    assert "iris" in site.worker.services
    assert site.status.kept == ("wine",)
    assert not site.status.is_successful
    assert "services.wine is not served as the file says: the admin API made a service of this name" in caplog.text
    assert set(site.source.kept) == {"iris"}, "else a control process that begins with it could not start"
    await site.rig.catalog.delete("wine", lambda _: None)
    await site.reload({"wine": make_spec(), "iris": make_spec()})
    assert site.rig.catalog.get("wine").record.origin == "file"
    assert (site.status.kept, site.status.is_successful) == ((), True)


async def test_a_host_of_the_api(make_site, make_rig, make_spec) -> None:
    """A host that a service of the API has stays there: in a reload, in the API itself, and at a start."""
    site = await make_site({"one": make_spec()})
    await site.rig.catalog.put("made", lambda _: make_spec(hosts=(SHARED,)))
    await site.reload({"one": make_spec(hosts=(SHARED,))})
    assert site.worker.services["one"].spec.hosts == ()
    assert site.status.kept == ("one",)
    with pytest.raises(Refused, match=f"its host {SHARED} leads to made already") as refused:
        await site.rig.catalog.put("second", lambda _: make_spec(hosts=(SHARED,)))
    assert refused.value.status == 409
    await site.rig.catalog.put("made", lambda _: make_spec(hosts=(SHARED,), description="its own"))
    with pytest.raises(StartError, match=f"its host {SHARED} leads to made already"):
        await make_rig({"one": make_spec(hosts=(SHARED,))})


async def test_a_service_no_worker_can_serve(make_site, make_spec, caplog) -> None:
    """What a worker cannot serve is taken back: changed ones as they were, new ones gone; the rest is served."""
    site = await make_site({"old": make_spec(description="before"), "good": make_spec(description="before")})
    site.worker.refuses = {"old": "its CA file cannot be read.", "new": "its CA file cannot be read."}
    after = {name: make_spec(description="after") for name in ("old", "good", "new")}
    await site.reload(after)
    assert set(site.status.kept) == {"old", "new"}
    assert "its CA file cannot be read" in caplog.text
    assert site.rig.catalog.get("old").spec.description == "before"
    assert site.worker.services["good"].spec.description == "after"
    assert "new" not in site.rig.catalog.services
    assert "new" not in site.worker.services
    site.worker.refuses = {}
    await site.reload(after)
    assert {entry.spec.description for entry in site.worker.services.values()} == {"after"}


async def test_a_taken_back_service_has_its_host_back(make_site, make_spec) -> None:
    """A host that moves from a service that cannot be changed stays with it: who wanted it is taken back, too."""
    site = await make_site({"giver": make_spec(hosts=(SHARED,)), "taker": make_spec(description="before")})
    site.worker.refuses = {"giver": "it cannot."}
    await site.reload({"giver": make_spec(), "taker": make_spec(hosts=(SHARED,))})
    hosts = {name: service.spec.hosts for name, service in site.rig.catalog.services.items()}
    assert hosts == {"giver": (SHARED,), "taker": ()}
    assert set(site.status.kept) == {"giver", "taker"}
    assert site.worker.services["taker"].spec.description == "before"


async def test_control_two_services_with_one_host(make_site, make_spec, monkeypatch) -> None:
    """Control: without the second look at hosts the same reload leaves one host with two services."""
    monkeypatch.setattr("gateway.control.served.host_clashes", lambda _wanted, _served: {})
    site = await make_site({"giver": make_spec(hosts=(SHARED,)), "taker": make_spec()})
    site.worker.refuses = {"giver": "it cannot."}
    await site.reload({"giver": make_spec(), "taker": make_spec(hosts=(SHARED,))})
    assert [service.spec.hosts for service in site.rig.catalog.services.values()] == [(SHARED,), (SHARED,)]


async def test_taken_back_rows_stay_with_their_backends(make_site, make_spec, board) -> None:
    """A backend that a failed change would have dropped keeps its row, and the row is not given to another."""
    site = await make_site({"old": make_spec(backends=("http://10.0.0.1:1",))})
    (before,) = site.rig.catalog.entry("old").deployments[0].backends
    site.worker.refuses = {"old": "it cannot."}
    await site.reload({"old": make_spec(backends=("http://10.0.0.2:1",))})
    assert site.rig.catalog.entry("old").deployments[0].backends == (before,)
    assert "http://10.0.0.1:1" in board.owners[before.row]


async def test_many_services_go_out_in_portions(make_site, make_spec, monkeypatch) -> None:
    """More services than a worker could acknowledge in time are several updates; none is lost, removals come last."""
    monkeypatch.setattr("gateway.control.served.UPDATE_SERVICES", 10)
    site = await make_site({"goes": make_spec()})
    updates = site.worker.updates
    await site.reload({f"new-{number}": make_spec() for number in range(25)})
    assert site.worker.updates == updates + 3
    assert len(site.worker.services) == 25
    assert "goes" not in site.worker.services


async def test_settings_of_the_process(make_site, make_spec, caplog) -> None:
    """Keys that need a restart are named, without their values, and services change all the same."""
    site = await make_site({})
    await site.reload({"new": make_spec()}, scoring=ScoringSettings(listen="127.0.0.1:12345"))
    assert "gateway.yaml: changed, but needs a restart: scoring.listen" in caplog.text
    assert "12345" not in caplog.text
    assert "new" in site.worker.services


async def test_the_store_is_away(make_site, make_spec, running, monkeypatch, caplog) -> None:
    """Without the store nothing is published; the reload is repeated until it answers, and told once."""
    monkeypatch.setattr("gateway.control.reload.RETRY_SECONDS", 0.01)
    site = await make_site({"old": make_spec()})
    site.rig.store.broken = True
    site.source.text = Configuration(replace(site.rig.settings, services={"new": make_spec()}))
    asked = running(site)
    asked.set()
    await until(lambda: site.source.reads >= 5)
    assert set(site.worker.services) == {"old"}
    assert site.status.reloads["failure"] == 1
    assert caplog.text.count("The store does not answer") == 1
    site.rig.store.broken = False
    await until(lambda: set(site.worker.services) == {"new"})
    await until(lambda: site.status.is_successful)


async def test_signal_and_changed_file(make_site, make_spec, running) -> None:
    """A reload comes when it is asked for, and when the file changed; otherwise the file is not read."""
    site = await make_site({})
    site.source.text = Configuration(replace(site.rig.settings, services={"first": make_spec()}))
    asked = running(site)
    await asyncio.sleep(0.05)
    assert site.source.reads == 0
    asked.set()
    await until(lambda: "first" in site.worker.services)
    site.source.text = Configuration(replace(site.rig.settings, services={"second": make_spec()}))
    site.source.is_changed = True
    await until(lambda: set(site.worker.services) == {"second"})
    assert site.source.reads == 2


async def test_no_reload_before_the_workers_are_back(make_site, make_spec, running) -> None:
    """A reload asked for while workers still connect waits for them, and is not forgotten."""
    is_settled = False
    site = await make_site({}, settled=lambda: is_settled)
    site.source.text = Configuration(replace(site.rig.settings, services={"first": make_spec()}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.control.reload.RETRY_SECONDS", 0.01)
        running(site).set()
        await asyncio.sleep(0.05)
        assert site.source.reads == 0
        is_settled = True
        await until(lambda: "first" in site.worker.services)


async def test_an_error_of_ours_does_not_end_it(make_site, make_spec, running, caplog) -> None:
    """A reload that fails by a mistake in the gateway is counted as failed, and the next one works."""
    site = await make_site({})
    site.source.text = RuntimeError("a mistake of the gateway")
    asked = running(site)
    asked.set()
    await until(lambda: site.status.reloads["failure"] == 1)
    assert "a mistake of the gateway" in caplog.text
    site.source.text = Configuration(replace(site.rig.settings, services={"first": make_spec()}))
    asked.set()
    await until(lambda: "first" in site.worker.services)


async def test_the_hash_follows_what_is_served(make_site, make_spec) -> None:
    """The hash changes with the services and returns with them; a bad file leaves it."""
    services = {"one": make_spec()}
    site = await make_site(services)
    first = site.status.hash
    await site.reload(services | {"two": make_spec()})
    second = site.status.hash
    assert second != first
    site.source.text = ValueError("gateway.yaml:1: bad")
    await site.reloader.reload()
    assert site.status.hash == second
    await site.reload(services)
    assert site.status.hash == first
