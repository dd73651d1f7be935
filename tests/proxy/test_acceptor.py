"""The listening socket of a worker: whom the kernel let in is served, before and after it closes."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import socket
import ssl

import pytest
import uvloop

from gateway.certificate import Paths, make_development_certificate
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
    return _server_side(made), ssl.create_default_context(cafile=made.ca)


@pytest.fixture
def server_side(tmp_path) -> ssl.SSLContext:
    return _server_side(make_development_certificate(tmp_path))


def _server_side(made: Paths) -> ssl.SSLContext:
    return server_context(TlsSettings(certificate=made.certificate, private_key=made.private_key))


def _on_uvloop(work) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


def _made(listening: socket.socket, context: ssl.SSLContext | None, listener: Listener | None = None) -> Acceptor:
    return Acceptor(listener or _listener(context), listening, asyncio.get_running_loop(), context)


def _listener(context: ssl.SSLContext | None) -> Listener:
    return Listener(_serve, ScoringSettings(), Sweep(asyncio.get_running_loop()), secure=context is not None)


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
        await acceptor.close()
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


def test_everybody_is_known_after_the_close(listening, contexts) -> None:
    """Once it is closed the listener knows whoever was let in, handshakes included: none is left out of the drain."""
    server, _ = contexts

    async def work() -> None:
        listener = _listener(server)
        acceptor = _made(listening, server, listener)
        await acceptor.open()
        waiting = [_connected(listening) for _ in range(10)]
        await acceptor.close()
        assert len(listener.clients) == 10
        for one in waiting:
            one.close()

    _on_uvloop(work())


@pytest.fixture
def openssl() -> str:
    found = shutil.which("openssl")
    if found is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("apt-get install openssl")
    return found


async def _typed(openssl: str, listening: socket.socket, version: str, *typed: tuple[bytes, bytes]) -> bytes:
    """What OpenSSL's client shows: each line is typed once the text before it was shown."""
    host, port = listening.getsockname()
    command = (openssl, "s_client", "-connect", f"{host}:{port}", version, "-msg")
    pipe = asyncio.subprocess.PIPE
    client = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    shown = b""
    async with asyncio.timeout(20):
        for after, line in typed:
            shown += await client.stdout.readuntil(after)
            client.stdin.write(line)
        shown += await client.stdout.read()
        await client.wait()
    return shown


def test_keys_are_changed_within_a_connection(listening, server_side, openssl: str) -> None:
    """TLS 1.3's key update, asked for by the client, goes by unnoticed between two requests."""

    async def work() -> None:
        acceptor = _made(listening, server_side)
        await acceptor.open()
        shown = await _typed(
            openssl,
            listening,
            "-tls1_3",
            (b"read R BLOCK", b"K\n"),
            (b"KeyUpdate", GET),
            (b"HTTP/1.1 200 OK", b"K\n"),
            (b"KeyUpdate", GET),
            (b"HTTP/1.1 200 OK", b"Q\n"),
        )
        assert b"<<< TLS 1.3, Handshake [length 0005], KeyUpdate" in shown
        await acceptor.close()

    _on_uvloop(work())


def test_no_renegotiation(listening, server_side, openssl: str) -> None:
    """TLS 1.2's renegotiation, which costs a server more than its client, is refused; the connection could go on."""

    async def work() -> None:
        acceptor = _made(listening, server_side)
        await acceptor.open()
        shown = await _typed(openssl, listening, "-tls1_2", (b"Extended master secret", b"R\n"))
        assert b"warning no_renegotiation" in shown
        assert shown.count(b"<<< TLS 1.2, Handshake [length 0004], ServerHelloDone") == 1
        await acceptor.close()

    _on_uvloop(work())


@pytest.mark.parametrize(
    ("limit", "most"), [(128, (128 - OWN_DESCRIPTORS) // 2), (40, 1), (1_000_000, 5_000), (-1, 5_000)]
)
def test_most_connections(monkeypatch, limit: int, most: int) -> None:
    """A worker takes as many clients as are configured, or half of what its descriptors leave: each may need two."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert most_connections(ScoringSettings(max_connections=5_000)) == most
