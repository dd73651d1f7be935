"""The same gateway as one writes it with stock aiohttp: `web.Application` in front, `ClientSession` behind.

It decides with the very `gateway.core` and `gateway.policy` of the product, so that a benchmark compares ways of
carrying bytes, and a test can hold both answers to the same request against each other. It has no deadlines, retries,
queue, balancing or reload. `python -m bench.stock_aiohttp FILE` serves what `Plan` in FILE says.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import prometheus_client
from aiohttp import web
from pydantic import TypeAdapter

from gateway.core import gcra, key
from gateway.core.exchange import Exchange
from gateway.core.gcra import Limit
from gateway.core.hygiene import HOP_BY_HOP
from gateway.core.problem import Reply
from gateway.core.route import Route, RouteTable, Target
from gateway.core.snapshot import KeyEntry, ServiceEntry, Trust
from gateway.core.spec import ServiceSpec
from gateway.policy import World, compile_checks
from gateway.policy.cors import compile_decoration

REQUESTS = prometheus_client.Counter("bench_requests", "Requests answered.", ["service", "status"])
SECONDS = prometheus_client.Histogram("bench_request_seconds", "From head to answer.", ["service"])
_NOT_PASSED = HOP_BY_HOP | {b"host", b"content-length", b"authorization", b"x-request-id"}
_NOT_RETURNED = {"content-length", "transfer-encoding", "connection", "date", "server"}


@dataclass(frozen=True, slots=True)
class Plan:
    """One service, its keys, and where to listen. `certificate`, `private_key`: PEM files; None: plain HTTP."""

    port: int
    name: str
    spec: ServiceSpec
    primary: str
    secondary: str
    certificate: str | None = None
    private_key: str | None = None


class Cells:
    """`core.gcra.Cells` of one process."""

    def __init__(self) -> None:
        self._tats: dict[int, float] = {}

    def admit(self, key: int, now: float, limit: Limit) -> float:
        """Count a request: 0.0 if it is within the limit, else the seconds to wait."""
        self._tats[key], wait = gcra.admit(self._tats.get(key, now), now, limit)
        return wait

    def refund(self, key: int, limit: Limit) -> None:
        """Take back one request that was counted."""
        self._tats[key] -= limit.cost


class Proxy:
    """Every request of the application ends in `serve`."""

    def __init__(self, table: RouteTable) -> None:
        self._table = table
        self._session: aiohttp.ClientSession | None = None

    async def connect(self, _: web.Application) -> AsyncIterator[None]:
        """Keep a session towards the backends for the life of the application."""
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as self._session:
            yield

    async def serve(self, request: web.Request) -> web.Response:
        """Find, decide, forward, count."""
        started = time.monotonic()
        exchange = _exchange(request, started)
        target = self._table.find(exchange.path, exchange.fields.get(b"host", b""))
        if target is None:
            return _answer(Reply(404, "no_such_service", "Nothing is served here."), exchange)
        exchange.operation = target.operation
        reply = target.route.decide(exchange)
        answer = _answer(reply, exchange) if reply else await self._forward(request, exchange, target)
        if target.route.decorate is not None:
            answer.headers.extend(_texts(target.route.decorate(exchange)))
        REQUESTS.labels(target.route.name, answer.status).inc()
        SECONDS.labels(target.route.name).observe(time.monotonic() - started)
        return answer

    async def _forward(self, request: web.Request, exchange: Exchange, target: Target) -> web.Response:
        assert self._session is not None
        url = target.route.spec.backends[0] + target.path.decode() + exchange.query.decode()
        fields = [
            (name.decode(), value.decode()) for lower, name, value in exchange.headers if lower not in _NOT_PASSED
        ]
        fields.append(("x-request-id", exchange.request_id))
        fields.append(("x-forwarded-for", exchange.address))
        async with self._session.request(
            request.method, url, headers=fields, data=await request.read(), allow_redirects=False
        ) as given:
            returned = [(name, value) for name, value in given.headers.items() if name.lower() not in _NOT_RETURNED]
            returned.append(("x-request-id", exchange.request_id))
            return web.Response(status=given.status, headers=returned, body=await given.read())


def application(entry: ServiceEntry, trust: Trust) -> web.Application:
    """The proxy for one service."""
    table = RouteTable()
    world = World(trust, Cells())
    table.put(Route(entry, compile_checks(entry, world), compile_decoration(entry), (), None))
    proxy = Proxy(table)
    made = web.Application(client_max_size=entry.spec.max_request_bytes)
    made.router.add_route("*", "/{path:.*}", proxy.serve)
    made.cleanup_ctx.append(proxy.connect)
    return made


def _exchange(request: web.Request, now: float) -> Exchange:
    path, mark, query = request.raw_path.encode().partition(b"?")
    exchange = Exchange(
        request.method.encode(),
        path,
        mark + query,
        [(name.lower(), name, value) for name, value in request.raw_headers],
        length=request.content_length if request.body_exists else 0,
        peer=request.remote or "",
        secure=request.secure,
        now=now,
        wall=time.time(),
    )
    exchange.request_id = request.headers.get("x-request-id") or secrets.token_hex(16)
    return exchange


def _answer(reply: Reply, exchange: Exchange) -> web.Response:
    fields = [*_texts(reply.headers), ("x-request-id", exchange.request_id)]
    if reply.status == 204:
        return web.Response(status=204, headers=fields)
    fields.append(("content-type", reply.content_type.decode()))
    return web.Response(status=reply.status, headers=fields, body=reply.document(exchange.request_id))


def _texts(fields: tuple[tuple[bytes, bytes], ...]) -> list[tuple[str, str]]:
    return [(name.decode(), value.decode()) for name, value in fields]


def _entry(plan: Plan, digest_key: bytes) -> ServiceEntry:
    keys = (
        KeyEntry(key.digest(digest_key, plan.primary.encode()), "k_primary", "primary"),
        KeyEntry(key.digest(digest_key, plan.secondary.encode()), "k_secondary", "secondary"),
    )
    return ServiceEntry(name=plan.name, spec=plan.spec, keys=keys, deployments=(), born=time.time())


def main(file: Path) -> None:
    """Serve a plan until ended."""
    plan = TypeAdapter(Plan).validate_json(file.read_bytes())
    digest_key = secrets.token_bytes(32)
    context = None
    if plan.certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(plan.certificate, plan.private_key)
    served = application(_entry(plan, digest_key), Trust(digest_key, "urn:bench", ()))
    web.run_app(
        served,
        host="127.0.0.1",
        port=plan.port,
        ssl_context=context,
        backlog=4096,
        access_log=None,
        print=None,
        keepalive_timeout=75,
        loop=asyncio.new_event_loop(),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
