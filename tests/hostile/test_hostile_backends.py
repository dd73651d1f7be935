"""Backends that lie: a client sees the right answer, a 502 or 504, or a broken connection, never a short good one.

Each lie has a service and a backend of its own. Around it other clients of the same service are served as ever, from
the same kept connections; afterwards every permit is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from gateway_process import KEY, SECONDS_TO_START, GatewayProcess
from liar import Liars
from lies import ALL, Lie, Then
from recorder import HOST
from strict_http import MAX_HEAD, Answer, BrokenError, EndedError, MalformedError, read_answer

PATIENCE = 8.0
AT_ONCE = 60
LARGE = bytes(16_000_000)
"""More than all buffers on the way to a backend that does not read."""
AFTERWARDS = 0.06
"""Seconds in which a backend may still say something that nobody asked for."""
SERVICE = {
    "max_concurrent_requests_per_container": 4,
    "max_queue_wait_ms": 5000,
    "scoring_timeout_ms": 1200,
    "stream_idle_timeout_ms": 800,
    "connect_timeout_ms": 1000,
    "error_dialect": "plain",
}


@dataclass(frozen=True)
class NoGateway:
    """The control: clients talk to the liar itself."""

    port: int
    tls: bool = False
    ca_file: str = ""


@dataclass
class Scene:
    """A lie and those around it. `seen`: what the client who was lied to saw."""

    lie: Lie
    gateway: GatewayProcess | NoGateway
    liars: Liars
    old: bool
    seen: str = ""
    problems: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.lie.name} ({'TLS' if self.gateway.tls else 'plain'}, HTTP/1.{0 if self.old else 1})"

    async def __call__(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._play()
        except TimeoutError:
            self.problems.append(f"{self.name}: nothing happens any more")

    async def _play(self) -> None:
        lie = self.lie
        if lie.greets:
            self.liars.greet(lie, hostile=True)
        else:
            await self._others("before")
        self.seen = await self._be_lied_to()
        self.liars.greet(lie, hostile=False)
        if lie.greets:
            await asyncio.sleep(1.1)  # a backend that took no request is left alone for a second
        elif not lie.settles:
            await asyncio.gather(self._others("at-once"), self._others("beside"))
        await asyncio.sleep(AFTERWARDS)
        await self._others("after")
        if self.seen not in {str(one) for one in lie.may}:
            self.problems.append(f"{self.name}: the client saw {self.seen}, it may see {sorted(map(str, lie.may))}")

    async def _others(self, when: str) -> None:
        """Another client, two requests on one connection: each gets its own body back, and nothing else."""
        reader, writer = await self._connect()
        for number in range(2):
            body = f"{self.lie.name} {when} {number}".encode()
            writer.write(self._request("POST", "", b"HTTP/1.1", body))
            try:
                answer = await read_answer(reader)
            except (EndedError, BrokenError, MalformedError) as error:
                self.problems.append(f"{self.name}: another client {when} was cut off ({error!r})")
                break
            if (answer.status, answer.body) != (200, body):
                self.problems.append(f"{self.name}: another client {when} got {answer.status} {answer.body[:200]!r}")
        writer.transport.abort()

    async def _be_lied_to(self) -> str:
        reader, writer = await self._connect()
        version = b"HTTP/1.0" if self.old else b"HTTP/1.1"
        asked, body = self.lie.asked, LARGE if self.lie.large else b"{}"
        writer.write(self._request(asked, "?lie", version, b"" if asked == "HEAD" else body))
        try:
            answer = await read_answer(reader, to_head=asked == "HEAD")
        except EndedError:
            return "nothing"
        except BrokenError:
            return "broken"
        except MalformedError as error:
            return f"malformed: {error}"
        finally:
            writer.transport.abort()
        return self._named(answer)

    def _named(self, answer: Answer) -> str:
        if any(b"leaked" in value for _, value in answer.fields) or b"leaked" in answer.body:
            return "leaked"
        if answer.values("content-type") == [b"application/problem+json"]:
            return str(answer.status)
        if answer.status == self.lie.status and answer.body == self.lie.body:
            return "whole"
        return f"{answer.status} with {len(answer.body)} bytes {answer.body[:60]!r}"

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = ssl.create_default_context(cafile=self.gateway.ca_file) if self.gateway.tls else None
        name = "localhost" if context else None
        return await asyncio.open_connection(HOST, self.gateway.port, ssl=context, server_hostname=name, limit=MAX_HEAD)

    def _request(self, method: str, query: str, version: bytes, body: bytes) -> bytes:
        head = f"{method} /api/v1/service/{self.lie.name}/score{query} ".encode() + version
        head += f"\r\nHost: {HOST}\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        return head + body


@pytest.fixture(scope="module")
def liars() -> Iterator[Liars]:
    backends = Liars(ALL)
    yield backends
    backends.stop()


@pytest.fixture(scope="module")
def gateways(start_gateway, liars: Liars) -> list[GatewayProcess]:
    services = {lie.name: SERVICE | {"backends": [f"http://{HOST}:{liars.ports[lie.name]}"]} for lie in ALL}
    return [start_gateway(services, tls=tls) for tls in (False, True)]


@pytest.fixture(scope="module")
def scenes(gateways: list[GatewayProcess], liars: Liars) -> dict[str, list[Scene]]:
    """Each lie four times: plain and with TLS, to a client of HTTP/1.1 and to one of HTTP/1.0."""
    played = {
        lie.name: [Scene(lie, gateway, liars, old) for gateway in gateways for old in (False, True)] for lie in ALL
    }
    asyncio.run(_play(played))
    return played


async def _play(played: dict[str, list[Scene]]) -> None:
    """Many lies at a time, the scenes of one lie one after another: a liar greets everyone or nobody."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def in_turn(scenes: list[Scene]) -> None:
        async with gate:
            for scene in scenes:
                await scene()

    await asyncio.gather(*map(in_turn, played.values()))


@pytest.mark.parametrize("name", [lie.name for lie in ALL])
def test_lie(scenes: dict[str, list[Scene]], name: str) -> None:
    """The client sees what it may see of this lie, and other clients of the service get their own answers."""
    assert [problem for scene in scenes[name] for problem in scene.problems] == []


def test_everything_is_given_back(scenes: dict[str, list[Scene]], gateways: list[GatewayProcess]) -> None:
    """After all lies no permit is held at any backend, and no request counted as under way."""
    assert [gateway.held(*scenes) for gateway in gateways] == [{}, {}]


def test_nothing_is_logged_as_an_error(scenes: dict[str, list[Scene]], gateways: list[GatewayProcess]) -> None:
    """A backend that lies is no error in the gateway's own log, and raises nothing there."""
    assert ["Traceback" in gateway.errors or '"level": "error"' in gateway.errors for gateway in gateways] == [
        False,
        False,
    ]


def test_without_a_gateway_clients_are_lied_to(liars: Liars) -> None:
    """Control: of clients that talk to the same backends directly, the same judge finds many to be harmed."""
    quick = [lie for lie in ALL if lie.then not in (Then.HANG, Then.REPEAT)]
    played = {lie.name: [Scene(lie, NoGateway(liars.ports[lie.name]), liars, old=False)] for lie in quick}
    asyncio.run(_play(played))
    harmed = {name for name, scenes in played.items() if any(scene.problems for scene in scenes)}
    assert len(harmed) >= len(quick) / 3
    assert sorted(HARMFUL - harmed) == []
    assert {"no-length", "body-too-short", "zipped"}.isdisjoint(harmed)


HARMFUL = {
    "chunk-trailers",
    "coding-gzip",
    "half-a-head-and-resets",
    "head-folded",
    "head-many-fields",
    "hop-by-hop-fields",
    "html",
    "nominated-fields",
    "reason-of-controls",
}


async def test_closing_without_a_word_costs_little(gateways: list[GatewayProcess]) -> None:
    """A backend that closes after every answer without saying so is found out: of 400 requests hardly any is lost."""
    statuses: list[int] = []

    async def ask() -> None:
        reader, writer = await asyncio.open_connection(HOST, gateways[0].port, limit=MAX_HEAD)
        path = "/api/v1/service/closes-without-a-word/score?lie"
        for _ in range(50):
            head = f"POST {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 2\r\n\r\n"
            writer.write(head.encode() + b"{}")
            statuses.append((await read_answer(reader)).status)
        writer.close()

    async with asyncio.timeout(30):
        await asyncio.gather(*(ask() for _ in range(8)))
    assert len(statuses) == 400
    assert statuses.count(200) >= 390


def test_nobody_listens(start_gateway) -> None:
    """A backend that refuses connections: 503 with Retry-After at once, and no permit is held."""
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
    gateway = start_gateway({"nobody": SERVICE | {"backends": [f"http://{HOST}:{port}"]}}, tls=False)
    answers = asyncio.run(_ask(gateway, "nobody", times=5))
    assert [(answer.status, bool(answer.values("retry-after"))) for answer in answers] == [(503, True)] * 5
    assert gateway.held("nobody") == {}


async def _ask(gateway: GatewayProcess, service: str, *, times: int) -> list[Answer]:
    head = f"GET /api/v1/service/{service}/score HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {KEY}\r\n\r\n"
    reader, writer = await asyncio.open_connection(HOST, gateway.port, limit=MAX_HEAD)
    answers = []
    try:
        async with asyncio.timeout(PATIENCE):
            for _ in range(times):
                writer.write(head.encode())
                answers.append(await read_answer(reader))
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)
    return answers


@pytest.mark.parametrize("is_cut", [False, True], ids=["said", "cut"])
def test_the_end_of_an_encrypted_answer(gateways: list[GatewayProcess], start_gateway, is_cut: bool) -> None:
    """Without a length the end of TLS is the end of the answer; a wire that was merely cut is a broken answer."""
    tls = gateways[1].folder / "var" / "tls"
    server = CutServer(tls / "server.crt", tls / "server.key", is_cut=is_cut)
    backend = {"backends": [f"https://localhost:{server.port}"], "backend_tls": {"ca": str(tls / "ca.crt")}}
    try:
        gateway = start_gateway({"secret": SERVICE | backend}, tls=False)
        if is_cut:
            with pytest.raises(BrokenError):
                asyncio.run(_ask(gateway, "secret", times=1))
        else:
            assert [answer.body for answer in asyncio.run(_ask(gateway, "secret", times=1))] == [b"right"]
    finally:
        server.stop()


class CutServer:
    """Answers one request over TLS, without a length, and says the end of TLS, or cuts the wire."""

    def __init__(self, certificate: Path, key: Path, *, is_cut: bool) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._is_cut = is_cut
        self._server = socket.create_server((HOST, 0))
        self._server.settimeout(SECONDS_TO_START)
        self.port = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def stop(self) -> None:
        self._server.close()
        self._thread.join()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            plain, _ = self._server.accept()
            with self._context.wrap_socket(plain, server_side=True) as connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nright")
                if self._is_cut:
                    connection.shutdown(socket.SHUT_RDWR)
                else:
                    connection.unwrap()
