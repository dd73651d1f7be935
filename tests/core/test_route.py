"""From path and host to a service: what is found, what is not, and who has a name after changes."""

from __future__ import annotations

import pytest

from gateway.core.exchange import Caller, Exchange
from gateway.core.problem import Reply
from gateway.core.route import Route, RouteTable, Target
from gateway.core.snapshot import ServiceEntry
from gateway.core.spec import ServiceSpec

NO_HOST = b""


def route(name="diabetes", checks=(), **keys):
    spec = ServiceSpec(backends=("http://b",), **keys)
    return Route(ServiceEntry(name=name, spec=spec, keys=(), deployments=(), born=0), checks, None, (), None)


def table_of(*routes):
    table = RouteTable()
    for each in routes:
        table.put(each)
    return table


def found(table, path, host=NO_HOST):
    """(service, operation, path at the backend), or None."""
    target = table.find(path, host)
    return target and (target.route.name, target.operation, target.path)


def test_a_service_is_found_by_its_paths():
    """Score and swagger, each with the path that its backend knows."""
    table = table_of(route(scoring_path="/predict", swagger_path="/openapi.json"))
    assert found(table, b"/api/v1/service/diabetes/score") == ("diabetes", "score", b"/predict")
    assert found(table, b"/api/v1/service/diabetes/swagger.json") == ("diabetes", "swagger", b"/openapi.json")


@pytest.mark.parametrize(
    "path",
    [
        b"/",
        b"/score",
        b"/api/v1/service/",
        b"/api/v1/service/diabetes",
        b"/api/v1/service/diabetes/",
        b"/api/v1/service/diabetes/score/",
        b"/api/v1/service/diabetes/SCORE",
        b"/api/v1/service/diabetes//score",
        b"/api/v1/service/diabetes/other",
        b"/api/v1/service/Diabetes/score",
        b"/api/v1/service/diabetes%2fscore",
        b"/api/v1/service/%64iabetes/score",
        b"/api/v1/service/diabete/score",
        b"/api/v1/service/../service/diabetes/score",
        b"/API/v1/service/diabetes/score",
        b"api/v1/service/diabetes/score",
        b"",
    ],
)
def test_other_paths_mean_no_service(path):
    """A path is compared byte for byte: nothing is decoded, completed or tidied."""
    assert found(table_of(route()), path) is None


def test_a_service_without_swagger_has_none():
    """`swagger_path` null: the path is not found, and with `extra_paths` it is the backend's."""
    assert found(table_of(route(swagger_path=None)), b"/api/v1/service/diabetes/swagger.json") is None
    table = table_of(route(swagger_path=None, extra_paths=True))
    assert found(table, b"/api/v1/service/diabetes/swagger.json") == ("diabetes", "extra", b"/swagger.json")


@pytest.mark.parametrize("host", [b"score.example.com", b"Score.EXAMPLE.com", b"score.example.com:8443"])
def test_a_service_is_found_by_its_host(host):
    """In any case, with any port; the paths are then short."""
    table = table_of(route(hosts=("score.example.com",)))
    assert found(table, b"/score", host) == ("diabetes", "score", b"/score")
    assert found(table, b"/swagger.json", host) == ("diabetes", "swagger", b"/swagger.json")
    assert found(table, b"/other", host) is None
    assert found(table, b"/api/v1/service/diabetes/score", host) == ("diabetes", "score", b"/score")


@pytest.mark.parametrize(
    "host", [b"", b"example.com", b"a.score.example.com", b"score.example.com:x", b":8443", b"score.example.com:80:80"]
)
def test_other_hosts_lead_nowhere(host):
    """No suffix, no part, nothing that is no port."""
    assert found(table_of(route(hosts=("score.example.com",))), b"/score", host) is None


def test_an_address_is_no_host_with_a_port():
    """The colons of an IPv6 address are told from the one before a port."""
    table = table_of(route(hosts=("score.example.com",)))
    assert found(table, b"/score", b"[::1]:8443") is None
    assert found(table, b"/score", b"[::1]") is None


def test_extra_paths_reach_the_backend_as_they_are():
    """Below the service, and by host from the root; score and swagger keep their meaning."""
    table = table_of(route(extra_paths=True, hosts=("h",), scoring_path="/predict"))
    assert found(table, b"/api/v1/service/diabetes/v2/models%20x") == ("diabetes", "extra", b"/v2/models%20x")
    assert found(table, b"/api/v1/service/diabetes/") == ("diabetes", "extra", b"/")
    assert found(table, b"/api/v1/service/diabetes") is None
    assert found(table, b"/v2/models", b"h") == ("diabetes", "extra", b"/v2/models")
    assert found(table, b"/score", b"h") == ("diabetes", "score", b"/predict")
    assert found(table, b"/api/v1/service/nobody/x") is None


@pytest.mark.parametrize(
    "rest",
    [b"/..", b"/../x", b"/a/../b", b"/a/..", b"/.", b"/./a", b"/%2e%2e/x", b"/%2E./x", b"/.%2e", b"/a/%2e"],
)
def test_dot_segments_are_found_nowhere(rest):
    """Two readers could resolve them differently, encoded or not."""
    table = table_of(route(extra_paths=True, hosts=("h",)))
    assert found(table, b"/api/v1/service/diabetes" + rest) is None
    assert found(table, rest, b"h") is None


@pytest.mark.parametrize("rest", [b"/...", b"/.well-known", b"/a..b/c", b"/a./b", b"/%2e%2e%2e/x"])
def test_dots_within_a_name_are_no_dot_segments(rest):
    """A file name may begin, end or go on with dots."""
    table = table_of(route(extra_paths=True))
    assert found(table, b"/api/v1/service/diabetes" + rest) == ("diabetes", "extra", rest)


def test_a_route_is_replaced_as_a_whole():
    """The old one is handed back; its paths and hosts that the new one lacks are gone."""
    old, new = route(hosts=("a", "b")), route(hosts=("b",), swagger_path=None)
    table = RouteTable()
    assert table.put(old) is None
    assert table.put(new) is old
    assert table.get("diabetes") is new
    assert list(table) == [new]
    assert len(table) == 1
    assert found(table, b"/score", b"a") is None
    assert table.find(b"/score", b"b") == Target(new, "score", b"/score")
    assert found(table, b"/api/v1/service/diabetes/swagger.json") is None
    assert table.find(b"/api/v1/service/diabetes/score", NO_HOST) == Target(new, "score", b"/score")


def test_a_removed_route_is_found_no_more():
    """By path, host or name; the others stay; removing twice is no error."""
    gone, stays = route("gone", hosts=("a",)), route("stays", hosts=("b",))
    table = table_of(gone, stays)
    assert table.remove("gone") is gone
    assert table.remove("gone") is None
    assert table.get("gone") is None
    assert found(table, b"/api/v1/service/gone/score") is None
    assert found(table, b"/score", b"a") is None
    assert found(table, b"/score", b"b") == ("stays", "score", b"/score")
    assert list(table) == [stays]


def test_a_host_that_another_service_took_over_stays_there():
    """The change of the former owner, applied later, does not take it away."""
    table = table_of(route("first", hosts=("h",)), route("second", hosts=("h",)))
    assert found(table, b"/score", b"h") == ("second", "score", b"/score")
    table.put(route("first"))
    assert found(table, b"/score", b"h") == ("second", "score", b"/score")
    table.remove("second")
    assert found(table, b"/score", b"h") is None


def test_an_empty_table_finds_nothing():
    """Before the first snapshot every path is unknown."""
    table = RouteTable()
    assert found(table, b"/api/v1/service/diabetes/score", b"h") is None
    assert len(table) == 0


def test_the_first_reply_decides():
    """Checks run in order up to the first that replies; later ones do not see the request."""
    seen = []

    def check(name, reply):
        return lambda exchange: seen.append((name, exchange)) or reply

    exchange, refusal = Exchange(b"GET", b"/", b"", []), Reply(401, "x")
    made = route(checks=(check("a", None), check("b", refusal), check("c", Reply(429))))
    assert made.decide(exchange) is refusal
    assert seen == [("a", exchange), ("b", exchange)]


def test_no_reply_lets_pass():
    """None of all checks, or no checks at all: on to admission."""
    exchange = Exchange(b"GET", b"/", b"", [])
    assert route().decide(exchange) is None
    assert route(checks=(lambda _: None, lambda _: None)).decide(exchange) is None


@pytest.mark.parametrize(("refusing", "subject"), [(None, "c"), (0, "anonymous"), (1, "c")])
def test_the_same_head_is_asked_again_what_it_does_not_say(refusing, subject):
    """Only the rechecks are asked; whom one before the credential refuses, nobody knows."""
    asked = []

    def check(number):
        def ask(_):
            asked.append(number)
            return Reply(403, "no") if number == refusing else None

        return ask

    spec = ServiceSpec(backends=("http://b",))
    entry = ServiceEntry(name="a", spec=spec, keys=(), deployments=(), born=0)
    made = Route(entry, [check(9)], None, (), None, rechecks=[(check(0), False), (check(1), True)])
    exchange = Exchange(b"POST", b"/", b"", [])
    exchange.caller = Caller("key", "c")
    reply = made.decide_again(exchange)
    assert (reply is None) is (refusing is None)
    assert asked == ([0] if refusing == 0 else [0, 1])
    assert exchange.caller.subject == subject
