"""Connections that come and go leave nothing behind for the collector to find."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import platform
import resource
import socket
import ssl
from pathlib import Path

import pytest
import uvloop

from gateway.certificate import make_development_certificate
from gateway.core.settings import ScoringSettings, TlsSettings
from gateway.proxy import memory
from gateway.proxy.acceptor import Acceptor
from gateway.proxy.connection import Connection
from gateway.proxy.handshake import Handshake
from gateway.proxy.journey import PAUSE, Journey
from gateway.proxy.listener import Client, Listener
from gateway.proxy.secure import SecureTransport
from gateway.proxy.sweep import Sweep
from gateway.proxy.tls import server_context
from gateway.proxy.upstream import Upstream

TIMES = 20
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CLOSES = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def _left(*kinds: type, before: int = 0) -> int:
    """How many there are more than `before`: other tests may have left some to the collector."""
    return sum(type(one) in kinds for one in gc.get_objects()) - before


async def _serve(client: Client, message) -> None:
    client.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    client.finish(message, keep=True)


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
def test_clients(no_collector, tmp_path, is_tls: bool) -> None:
    """A client's connection that was closed is freed without the collector."""
    context, trust = None, None
    if is_tls:
        made = make_development_certificate(tmp_path)
        context = server_context(TlsSettings(certificate=made.certificate, private_key=made.private_key))
        trust = ssl.create_default_context(cafile=made.ca)

    def come_and_go(port: int) -> None:
        for _ in range(TIMES):
            with socket.create_connection(("127.0.0.1", port)) as plain:
                side = trust.wrap_socket(plain, server_hostname="localhost") if trust else plain
                side.sendall(GET)
                assert side.recv(1000)
                side.close()

    kinds = (Client, Handshake, SecureTransport, ssl.SSLObject)

    async def work() -> int:
        loop = asyncio.get_running_loop()
        before = _left(*kinds)
        listener = Listener(_serve, ScoringSettings(), Sweep(loop), secure=is_tls)
        listening = socket.create_server(("127.0.0.1", 0))
        listening.setblocking(False)
        acceptor = Acceptor(listener, listening, loop, context)
        await acceptor.open()
        await loop.run_in_executor(None, come_and_go, listening.getsockname()[1])
        async with asyncio.timeout(5):
            while listener.clients:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        left = _left(*kinds, before=before)
        await acceptor.close()
        return left

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(work()) == 0


def test_backends(no_collector) -> None:
    """So is a connection to a backend, also where the backend closes each one after its answer."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(CLOSES)
        writer.close()

    async def ask(upstream: Upstream, journey: Journey) -> None:
        connection = await upstream.connect(journey)
        connection.begin(journey, body_expected=True)
        connection.transport.write(GET)
        while not connection.complete:
            await PAUSE
        connection.release()

    async def work() -> int:
        before = _left(Connection)
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        upstream = Upstream(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asyncio.get_running_loop())
        for _ in range(TIMES):
            journey = Journey()
            journey.start(ask(upstream, journey))
            async with asyncio.timeout(5):
                while not journey.over:
                    await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
        server.close()
        return _left(Connection, before=before)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(work()) == 0


def test_control_a_cycle_is_seen(no_collector) -> None:
    """Control: what refers to itself stays until it is looked for."""

    class Cycle:
        def __init__(self) -> None:
            self.own = self

    Cycle()
    assert _left(Cycle) == 1


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library: nothing to give back")
def test_gaps_are_given_back() -> None:
    """Pages that are free between used blocks go back to the system."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    blocks = [libc.malloc(60_000) for _ in range(1000)]
    for block in blocks:
        ctypes.memset(block, 1, 60_000)
    for block in blocks[::2] + blocks[1:-1:2]:
        libc.free(block)
    before = _resident()
    memory.give_back()
    assert before - _resident() > 40_000_000
    libc.free(blocks[-1])


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
