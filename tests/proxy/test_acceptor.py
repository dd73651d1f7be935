"""The listening socket of a worker: whom the kernel let in is served, before and after it closes."""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl

import pytest
import uvloop

from gateway.certificate import make_development_certificate
from gateway.core.settings import ScoringSettings, TlsSettings
from gateway.proxy.acceptor import OWN_DESCRIPTORS, Acceptor, most_connections
from gateway.proxy.listener import Listener
from gateway.proxy.sweep import Sweep
from gateway.proxy.tls import server_context

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def _serve(client, message) -> None:
    client.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    client.finish(message, keep=not client.draining)


@pytest.fixture
def listening():
    one = socket.create_server(("127.0.0.1", 0))
    one.setblocking(False)
    yield one
    one.close()


@pytest.fixture(params=["plain", "tls"])
def contexts(request, tmp_path) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
    """The server's, and a client's."""
    if request.param == "plain":
        return None, None
    made = make_development_certificate(tmp_path)
    settings = TlsSettings(certificate=made.certificate, private_key=made.private_key)
    return server_context(settings), ssl.create_default_context(cafile=made.ca)


def _on_uvloop(work) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


def _made(listening: socket.socket, context: ssl.SSLContext | None) -> Acceptor:
    loop = asyncio.get_running_loop()
    listener = Listener(_serve, ScoringSettings(), Sweep(loop), secure=context is not None)
    return Acceptor(listener, listening, loop, context)


async def _status(plain: socket.socket, context: ssl.SSLContext | None) -> bytes:
    name = "localhost" if context else None
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(sock=plain, ssl=context, server_hostname=name)
        writer.write(GET)
        status = (await reader.readuntil(b"\r\n\r\n"))[9:12]
        writer.transport.abort()
        await asyncio.sleep(0.01)
    return status


def _connected(listening: socket.socket) -> socket.socket:
    plain = socket.create_connection(listening.getsockname())
    plain.setblocking(False)
    return plain


def test_who_waits_is_taken_in(listening, contexts) -> None:
    """Connections that the kernel accepted before the close are served after it; later ones are refused."""
    server, client = contexts

    async def work() -> None:
        acceptor = _made(listening, server)
        await acceptor.open()
        assert await _status(_connected(listening), client) == b"200"
        address = listening.getsockname()
        # The loop has no turn in between: these wait in the kernel's queue.
        waiting = [_connected(listening) for _ in range(20)]
        acceptor.close()
        assert [await _status(one, client) for one in waiting] == [b"200"] * 20
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)

    _on_uvloop(work())


def test_control_a_plain_close_drops_who_waits(listening) -> None:
    """Control: closing the socket alone resets those connections."""
    waiting = [_connected(listening) for _ in range(3)]
    listening.close()

    async def work() -> None:
        for one in waiting:
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await _status(one, None)
            one.close()

    _on_uvloop(work())


@pytest.mark.parametrize(
    ("limit", "most"), [(128, (128 - OWN_DESCRIPTORS) // 2), (40, 1), (1_000_000, 5_000), (-1, 5_000)]
)
def test_most_connections(monkeypatch, limit: int, most: int) -> None:
    """A worker takes as many clients as are configured, or half of what its descriptors leave: each may need two."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert most_connections(ScoringSettings(max_connections=5_000)) == most
