"""Raw sockets against the scoring port: nothing is smuggled, no connection desynchronised, every refusal well-formed.

Each case goes plain and with TLS, with a good and a wrong credential, on a fresh and on a kept connection, all at once;
afterwards each test judges its eight runs. The control sends the same through a stock aiohttp proxy.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from cases import ALL
from drive import Door, Run, drive, runs_through
from gateway_process import KEY, WRONG_KEY, GatewayProcess
from recorder import Recorder
from stock_proxy import StockProxy

QUICK = {
    "handshake_timeout_seconds": 5,
    "header_timeout_seconds": 5,
    "body_timeout_seconds": 5,
    "keep_alive_seconds": 4,
}
CAP = 1_048_576


@dataclass(frozen=True)
class Evening:
    """All runs of one evening, and the backend that watched."""

    runs: list[Run]
    backend: Recorder


@pytest.fixture(scope="module")
def gateways(start_gateway, recorder: Recorder) -> list[GatewayProcess]:
    service = {
        "backends": [recorder.url],
        "max_concurrent_requests_per_container": None,
        "max_request_bytes": CAP,
        "scoring_timeout_ms": 5000,
    }
    return [start_gateway({"probe": service}, tls=tls, **QUICK) for tls in (False, True)]


@pytest.fixture(scope="module")
def evening(gateways: list[GatewayProcess], recorder: Recorder) -> Evening:
    runs = [run for gateway in gateways for run in runs_through(_door(gateway), ALL)]
    asyncio.run(drive(runs))
    return Evening(runs, recorder)


@pytest.fixture(scope="module")
def stock_evening() -> Iterator[Evening]:
    """The same cases, plain, through a stock proxy before a backend of its own."""
    backend = Recorder()
    proxy = StockProxy(backend.url, KEY)
    runs = runs_through(Door(proxy.port, KEY, WRONG_KEY, names_caller=False, patience=4.0), ALL)
    asyncio.run(drive(runs))
    yield Evening(runs, backend)
    proxy.stop()
    backend.stop()


def _door(gateway: GatewayProcess) -> Door:
    context = ssl.create_default_context(cafile=gateway.ca_file) if gateway.tls else None
    return Door(gateway.port, KEY, WRONG_KEY, context)


@pytest.fixture(scope="module")
def found(evening: Evening) -> dict[str, list[str]]:
    """The problems of each case, in all its runs."""
    by_case: defaultdict[str, list[str]] = defaultdict(list)
    for run in evening.runs:
        by_case[run.case.name] += [f"{run.name}: {problem}" for problem in run.problems(evening.backend.requests)]
    return by_case


@pytest.mark.parametrize("name", [case.name for case in ALL])
def test_case(found: dict[str, list[str]], name: str) -> None:
    """Answered as expected, passed on clean or not at all, and the request after it gets its own answer or the end."""
    assert found[name] == []


def test_the_backend_saw_only_what_was_allowed(evening: Evening) -> None:
    """Every byte at the backend belongs to a well-formed request of a run; no secret, no spoofed word is among them."""
    tapes = b"".join(bytes(tape) for tape in evening.backend.tapes)
    names = {run.name + suffix for run in evening.runs for suffix in ("", "-first", "-after")}
    assert evening.backend.violations == []
    assert set(evening.backend.requests) <= names
    assert [word for word in (b"spoofed", KEY.encode(), WRONG_KEY.encode()) if word in tapes] == []


def test_a_wrong_credential_never_gets_through(evening: Evening) -> None:
    """Of the runs with a wrong credential nothing reaches the backend but the good requests beside them."""
    assert [run.name for run in evening.runs if not run.good and evening.backend.requests.get(run.name)] == []


def test_nothing_was_left_out(evening: Evening) -> None:
    """At least 120 cases, each in eight runs, and requests that pass among them: the backend really stood behind it."""
    assert len(ALL) >= 120
    assert len({run.name for run in evening.runs}) == 8 * len(ALL)
    passed = [run for run in evening.runs if run.good and run.case.bodies and evening.backend.requests.get(run.name)]
    assert len(passed) >= 4 * 60


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"POST / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x16\x03\x01\xff\xff" + bytes(70_000),
        b"\x15\x03\x03\x00\x02\x02\x28",
        bytes(range(256)),
    ],
    ids=["nothing", "plain-http", "half-a-hello", "huge-record", "alert", "noise"],
)
async def test_no_tls_on_the_tls_port(gateways: list[GatewayProcess], data: bytes) -> None:
    """Whoever does not finish a handshake is gone within its deadline and has not been answered in HTTP."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateways[1].port)
    writer.write(data)
    async with asyncio.timeout(QUICK["handshake_timeout_seconds"] + 2):
        try:
            received = await reader.read()
        except ConnectionResetError:
            received = b""
    writer.close()
    assert b"HTTP" not in received


def test_nothing_is_logged_as_an_error(evening: Evening, gateways: list[GatewayProcess]) -> None:
    """Hostile input is no error of the gateway: it cannot fill the log."""
    assert ['"level": "error"' in gateway.errors or "Traceback" in gateway.errors for gateway in gateways] == [
        False,
        False,
    ]


def test_everything_is_given_back(evening: Evening, gateways: list[GatewayProcess]) -> None:
    """After all of it no request is counted as under way, and none at the backend."""
    assert [gateway.held("probe") for gateway in gateways] == [{}, {}]


STOCK_FAILS = {
    "coding-gzip-then-chunked",  # a body that the gateway's reader would take apart and the backend's would not
    "coding-in-1.0-kept",
    "coding-underscore",
    "length-and-no-body",  # waits for ever, as for every request that never ends
    "head-half",
    "chunk-huge",
    "chunk-extension-flood",
    "trailer-identity",  # a trailer becomes a header of the next request
    "trailer-any",
    "start-version-0.9",
    "start-fragment",
    "start-trace",
    "host-list",
    "absolute-other-host",
    "path-encoded-letter",
    "said-forwarded-for",
    "said-caller",
    "said-underscores",
    "said-nominates-own",
    "said-two-credentials",
    "expect-and-wait",
    "upgrade-websocket",
    "upgrade-h2c-then-request",
    "pipeline-good-then-bad",
}


def test_a_stock_proxy_fails_many(stock_evening: Evening) -> None:
    """Control: a stock aiohttp proxy fails at least 80 of the same cases before the same judge, and passes many too."""
    failed = {run.case.name for run in stock_evening.runs if run.problems(stock_evening.backend.requests)}
    assert sorted(STOCK_FAILS - failed) == []
    assert 80 <= len(failed) <= len(ALL) / 2
