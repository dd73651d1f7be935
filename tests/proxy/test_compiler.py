"""From what the control process said to what is served: whole entries or the old ones, and connections that stay."""

from __future__ import annotations

import pytest

from gateway.core import key
from gateway.core.caller import CallerLimitSpec
from gateway.core.exchange import Exchange
from gateway.core.route import RouteTable
from gateway.core.snapshot import (
    BackendEntry,
    CallerEntry,
    DeploymentEntry,
    RosterChange,
    ServiceEntry,
    Trust,
    Update,
)
from gateway.core.spec import BackendTlsSpec, CorsSpec, ServiceSpec
from gateway.core.verb import VERBS
from gateway.policy import World
from gateway.proxy.compiler import Compiler
from gateway.proxy.meters import Meters

ONE, TWO = "http://one:5001", "http://two:5001"
SECURE = "https://one:5001"


@pytest.fixture
def table() -> RouteTable:
    return RouteTable()


@pytest.fixture
def compiler(table, board, loop) -> Compiler:
    return Compiler(table, World(Trust(b"", "", ()), None), board, Meters(), loop)


def entry(name="svc", *urls: str, deployments=None, **spec) -> ServiceEntry:
    """An entry; backends get rows by their place, from 1."""
    parts = deployments or {"default": (100, urls or (ONE,))}
    rows = iter(range(1, 100))
    return ServiceEntry(
        name=name,
        spec=ServiceSpec(**({"backends": (ONE,), "auth_enabled": False} | spec)),
        keys=(),
        deployments=tuple(
            DeploymentEntry(deployment, traffic, tuple(BackendEntry(url, next(rows)) for url in own))
            for deployment, (traffic, own) in parts.items()
        ),
        born=0.0,
    )


def publish(compiler, *services, removed=(), full=False, trust=None, rosters=()):
    return compiler.apply(Update(serial=1, services=services, removed=removed, full=full, trust=trust, rosters=rosters))


def roster(*names: str, gone=(), service="svc", limits=()) -> RosterChange:
    """Named callers that are new or changed, and those that are gone. The key of each is its name."""
    callers = tuple(
        CallerEntry(name=name, digest=key.digest(b"", name.encode()), id=f"k_{name}", verbs=VERBS, rate_limits=limits)
        for name in names
    )
    return RosterChange(service=service, callers=callers, gone=gone)


def knock(table, value, service="svc"):
    """Who comes in with this key, or why nobody."""
    exchange = Exchange(b"POST", b"/score", b"", [(b"authorization", b"authorization", b"Bearer " + value.encode())])
    exchange.operation = "score"
    reply = table.get(service).decide(exchange)
    return reply.reason if reply else exchange.caller.subject


def test_service_is_served(compiler, table) -> None:
    """An entry becomes a route with a pool for each deployment that has traffic."""
    deployments = {"blue": (90, (ONE, TWO)), "green": (10, (ONE,)), "idle": (0, (TWO,))}
    assert publish(compiler, entry(deployments=deployments)) == {}
    (blue, green) = table.get("svc").pools
    assert (blue[0], blue[1].deployment, [backend.url for backend in blue[1].backends]) == (90, "blue", [ONE, TWO])
    assert (green[0], green[1].deployment) == (10, "green")


def test_delta_and_full(compiler, table) -> None:
    """A delta changes what it names; a full update ends what it does not name."""
    publish(compiler, entry("one"), entry("two"), full=True)
    publish(compiler, entry("three"), removed=("one", "never"))
    assert sorted(route.name for route in table) == ["three", "two"]
    publish(compiler, entry("two"), full=True)
    assert [route.name for route in table] == ["two"]


def test_trust_is_replaced(compiler) -> None:
    """New signing keys are judged by from the update on."""
    trust = Trust(b"k", "urn:x", ())
    publish(compiler, trust=trust)
    assert compiler._world.trust is trust


def test_connections_and_counts_survive_a_change(compiler, table) -> None:
    """A change of a service keeps pool, backend, connections and counters of what stays the same."""
    publish(compiler, entry("svc", ONE))
    before = table.get("svc")
    ((_, pool),) = before.pools
    (backend,) = pool.backends
    publish(compiler, entry("svc", ONE, TWO, max_queue_length=3))
    after = table.get("svc")
    assert after is not before
    assert after.meter is before.meter
    assert after.pools[0][1] is pool
    assert pool.backends[0] is backend
    assert [backend.url for backend in pool.backends] == [ONE, TWO]


def test_backend_that_is_gone_is_let_go(compiler, table, loop, backend, clock) -> None:
    """Idle connections to a backend that no service names any more are closed, and its pool is forgotten."""
    publish(compiler, entry("svc", "http://model:5001"))
    ((_, pool),) = table.get("svc").pools
    upstream = pool.backends[0].upstream
    publish(compiler, entry("svc", TWO))
    assert upstream._closed
    del pool
    publish(compiler, removed=("svc",))
    assert not compiler._pools
    assert not compiler._backends


class Unread(RouteTable):
    """A table that nobody may go through."""

    def __iter__(self):
        raise AssertionError("looks at every service")


def test_a_change_looks_at_no_other_service(board, loop) -> None:
    """A key is changed in microseconds, however many services there are: only a full update goes through all."""
    table = Unread()
    compiler = Compiler(table, World(Trust(b"", "", ()), None), board, Meters(), loop)
    publish(compiler, entry("a"), entry("b"))
    publish(compiler, entry("a", TWO))
    publish(compiler, removed=("b",))
    assert (table.get("a").entry, table.get("b")) == (entry("a", TWO), None)
    with pytest.raises(AssertionError, match="every service"):
        publish(compiler, full=True)


def test_a_row_may_go_to_another_service(compiler, table, loop) -> None:
    """One update takes a service away and gives its row to the next: the connections stay with the row."""
    publish(compiler, entry("a"))
    backend = table.get("a").pools[0][1].backends[0]
    publish(compiler, entry("b"), removed=("a",))
    assert table.get("b").pools[0][1].backends == [backend]
    publish(compiler, removed=("b",))
    assert publish(compiler, entry("b")) == {}
    assert table.get("b").pools[0][1].backends != [backend]


def test_a_long_update_beats(compiler) -> None:
    """Once for each service: nobody takes a worker for dead that is given ten thousand of them."""
    beats = []
    compiler.apply(Update(serial=1, services=(entry("a"), entry("b"))), lambda: beats.append(1))
    assert len(beats) == 2


def test_queue_outlives_its_service(compiler, table, clock) -> None:
    """A service that is deleted and made again while requests wait is the same queue: nobody overtakes or is lost."""
    publish(compiler, entry("svc", ONE))
    pool = table.get("svc").pools[0][1]
    backend = pool.take(clock.now)
    ticket = pool.queue(lambda: None)
    publish(compiler, removed=("svc",))
    publish(compiler, entry("svc", ONE))
    assert table.get("svc").pools[0][1] is pool
    assert pool.take(clock.now) is None
    pool.give_back(backend)
    pool.advance(clock.now)
    assert ticket.backend is not None
    pool.give_back(ticket.backend)


def test_close(compiler, table) -> None:
    """When the worker ends, nothing is left open towards any backend."""
    publish(compiler, entry("one", ONE, TWO), entry("two", SECURE))
    backends = [backend for route in table for _, pool in route.pools for backend in pool.backends]
    compiler.close()
    assert all(backend.upstream._closed for backend in backends)


def test_tls_is_made_anew(compiler, table) -> None:
    """Each change of a service with an https backend verifies anew; what was verified before is not used again."""
    publish(compiler, entry("svc", SECURE, TWO))
    ((_, pool),) = table.get("svc").pools
    old, plain = (backend.upstream for backend in pool.backends)
    assert old._ssl is not None
    assert plain._ssl is None
    publish(compiler, entry("svc", SECURE, TWO, backend_tls=BackendTlsSpec(server_name="model.internal")))
    new, still_plain = (backend.upstream for backend in pool.backends)
    assert new is not old
    assert old._closed
    assert new._server_name == "model.internal"
    assert still_plain is plain


def test_failed_entry_keeps_the_old_one_whole(compiler, table, tmp_path, caplog) -> None:
    """An entry that cannot be compiled changes nothing, not even what could be: the old one is served, and named."""
    publish(compiler, entry(deployments={"blue": (90, (ONE,)), "green": (10, (ONE,))}))
    before = table.get("svc")
    blue = before.pools[0][1]
    bad = entry(
        deployments={"blue": (90, (TWO,)), "green": (10, (SECURE,))},
        backend_tls=BackendTlsSpec(ca=str(tmp_path / "missing.pem")),
    )
    kept = publish(compiler, bad, entry("other"))
    assert list(kept) == ["svc"]
    assert kept["svc"].startswith("FileNotFoundError")
    assert "svc" in caplog.text
    assert table.get("svc") is before
    assert [backend.url for backend in blue.backends] == [ONE]
    assert table.get("other") is not None


def test_control_a_pool_shaped_too_early_is_seen(compiler, table, tmp_path, monkeypatch) -> None:
    """Control: a compiler that shapes pools before it has everything leaves the old route with new backends."""
    publish(compiler, entry("svc", ONE))
    pool = table.get("svc").pools[0][1]
    monkeypatch.setattr(
        compiler.__class__, "_backend_context", lambda *_: (compiler._pool(entry(), "default", []), 1 / 0)
    )
    publish(compiler, entry("svc", TWO))
    assert list(pool.backends) == []


def test_decoration(compiler, table) -> None:
    """Cross-origin fields belong to the services that ask for them."""
    publish(compiler, entry("plain"), entry("paged", cors=CorsSpec(allowed_origins=("https://a.example",))))
    assert table.get("plain").decorate is None
    assert table.get("paged").decorate is not None


def test_named_callers_come_and_go(compiler, table) -> None:
    """A change of callers is served by a route with the same pools and counts; connections stay, https ones too."""
    publish(compiler, entry("svc", SECURE, auth_enabled=True), rosters=(roster("acme", "other"),))
    before = table.get("svc")
    upstream = before.pools[0][1].backends[0].upstream
    assert [knock(table, name) for name in ("acme", "other", "nobody")] == ["acme", "other", "wrong_key"]
    assert publish(compiler, rosters=(roster("new", gone=("acme",)),)) == {}
    after = table.get("svc")
    assert after is not before
    assert (after.pools, after.meter) == (before.pools, before.meter)
    assert after.pools[0][1].backends[0].upstream is upstream
    assert [knock(table, name) for name in ("acme", "other", "new")] == ["wrong_key", "other", "new"]


def test_limits_of_a_caller_come_with_it(compiler, table) -> None:
    """The check of limits is there while a caller has limits."""
    publish(compiler, entry(auth_enabled=True))
    count = len(table.get("svc").checks)
    publish(compiler, rosters=(roster("acme", limits=(CallerLimitSpec("one", 1),)),))
    assert len(table.get("svc").checks) == count + 1
    publish(compiler, rosters=(roster("acme"),))
    assert len(table.get("svc").checks) == count


def test_callers_before_and_after_their_service(compiler, table) -> None:
    """Portions of a roster may come before the service; with the service its callers go."""
    publish(compiler, rosters=(roster("early"),))
    publish(compiler, entry(auth_enabled=True))
    assert knock(table, "early") == "early"
    publish(compiler, removed=("svc",))
    publish(compiler, entry(auth_enabled=True))
    assert knock(table, "early") == "wrong_key"


def test_a_full_update_names_all_callers(compiler, table) -> None:
    """Who is not in it is gone, also where the new entry of the service could not be served."""
    broken = {"backend_tls": BackendTlsSpec(ca="/nowhere/ca.pem"), "backends": (SECURE,)}
    publish(compiler, entry(auth_enabled=True), rosters=(roster("a", "b"),))
    assert publish(compiler, entry(auth_enabled=True), full=True, rosters=(roster("b"),)) == {}
    assert [knock(table, name) for name in ("a", "b")] == ["wrong_key", "b"]
    assert "svc" in publish(compiler, entry("svc", SECURE, auth_enabled=True, **broken), full=True)
    assert knock(table, "b") == "wrong_key"
