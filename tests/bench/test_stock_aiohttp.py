"""The gateway and a stock aiohttp proxy over the same core and policy: the same request, the same decision."""

from __future__ import annotations

import http.client
import json
import os
from contextlib import ExitStack

import pytest

from bench import backend, machine
from bench.peers import SCOREGATE
from bench.peers.aiohttp import AIOHTTP
from bench.peers.peer import DOCUMENT, KEY, ORIGIN, SERVICE, Setting
from gateway.certificate import make_development_certificate

PATH = f"/api/v1/service/{SERVICE}/score"
BEARER = ("Authorization", f"Bearer {KEY}")
ASKS_POST = ("Access-Control-Request-Method", "POST")
TOLD = ("www-authenticate", "access-control-allow-origin", "access-control-allow-methods", "vary", "retry-after")

REQUESTS = {
    "primary key": ("POST", PATH, [BEARER]),
    "secondary key": ("POST", PATH, [("Authorization", f"Bearer {KEY[::-1]}")]),
    "lower-case scheme": ("POST", PATH, [("authorization", f"bearer  {KEY}")]),
    "another method": ("PUT", PATH, [BEARER]),
    "a query": ("POST", f"{PATH}?verbose=1", [BEARER]),
    "no credential": ("POST", PATH, []),
    "wrong key": ("POST", PATH, [("Authorization", "Bearer something-else")]),
    "key cut short": ("POST", PATH, [("Authorization", f"Bearer {KEY[:-1]}")]),
    "mistyped key": ("POST", PATH, [("Authorization", f"Bearer sg1_{'a' * 42}")]),
    "basic scheme": ("POST", PATH, [("Authorization", "Basic dTpw")]),
    "nothing behind Bearer": ("POST", PATH, [("Authorization", "Bearer ")]),
    "two credentials": ("POST", PATH, [BEARER, BEARER]),
    "a long credential": ("POST", PATH, [("Authorization", f"Bearer {'x' * 8000}")]),
    "a token where none opens": ("POST", PATH, [("Authorization", "Bearer eyJhbGciOiJub25lIn0.e30.")]),
    "preflight": ("OPTIONS", PATH, [("Origin", ORIGIN), ASKS_POST]),
    "preflight from elsewhere": ("OPTIONS", PATH, [("Origin", "https://evil.example"), ASKS_POST]),
    "preflight for DELETE": ("OPTIONS", PATH, [("Origin", ORIGIN), (ASKS_POST[0], "DELETE")]),
    "OPTIONS without asking": ("OPTIONS", PATH, [("Origin", ORIGIN)]),
    "a page of ours": ("POST", PATH, [BEARER, ("Origin", ORIGIN)]),
    "a page of others": ("POST", PATH, [BEARER, ("Origin", "https://evil.example")]),
    "a page of ours, wrong key": ("POST", PATH, [("Authorization", "Bearer no"), ("Origin", ORIGIN)]),
}


@pytest.fixture(scope="module")
def ports(tmp_path_factory):
    """(gateway, baseline, baseline without cross-origin rules) in front of one backend."""
    folder = tmp_path_factory.mktemp("differential")
    make_development_certificate(folder / "tls")
    cores = machine.Cores(*[frozenset(os.sched_getaffinity(0))] * 3)
    with ExitStack() as stack:
        port = stack.enter_context(backend.running(cores.backend, folder / "backend.log"))
        setting, strict = Setting(port, folder / "tls", cores, cors=True), Setting(port, folder / "tls", cores)

        def start(peer, name, own):
            (folder / name).mkdir()
            return stack.enter_context(peer.start(own, folder / name)).port

        yield (
            start(SCOREGATE, "gateway", setting),
            start(AIOHTTP, "baseline", setting),
            start(AIOHTTP, "without", strict),
        )


def decision(port, method, path, fields):
    """What a client learns of the decision: status, reason, and the fields that tell what to do."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.putrequest(method, path)
    for name, value in [*fields, ("Content-Type", "application/json"), ("Content-Length", str(len(DOCUMENT)))]:
        connection.putheader(name, value)
    connection.endheaders(DOCUMENT)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    told = json.loads(body) if body else {}
    reason = (told["reason"], told["detail"]) if isinstance(told, dict) and "reason" in told else told
    return answer.status, reason, {name: answer.headers.get_all(name) for name in TOLD}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS.keys())
def test_both_decide_alike(ports, request_):
    """Status, reason and what the answer tells the client are the same, whoever carries the bytes."""
    gateway, baseline, _ = ports
    assert decision(gateway, *request_) == decision(baseline, *request_)


def test_a_proxy_that_forgot_a_check_is_found_out(ports):
    """The control: without its cross-origin section the baseline differs in every request that names an origin."""
    gateway, _, without = ports
    differing = {
        name for name, request_ in REQUESTS.items() if decision(gateway, *request_) != decision(without, *request_)
    }
    assert {"preflight", "a page of ours"} <= differing
