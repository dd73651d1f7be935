"""Backends whose host name was resolved: where a worker connects to, and what it says there. Real sockets on 127/8."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

import pytest

from gateway.certificate import make_development_certificate
from gateway.core.route import RouteTable
from gateway.core.snapshot import BackendEntry, DeploymentEntry, ServiceEntry, Trust, Update
from gateway.core.spec import BackendTlsSpec, ServiceSpec
from gateway.policy import World
from gateway.proxy.compiler import Compiler
from gateway.proxy.connection import UpstreamError
from gateway.proxy.meters import Meters
from gateway.proxy.upstream import Upstream

NAME = "model.test"


class Container:
    """Listens on 127.0.0.2, with a certificate for its name when it has a context."""

    def __init__(self) -> None:
        self.names: list[str | None] = []
        self.connected = asyncio.Event()

    async def start(self, context: ssl.SSLContext | None) -> int:
        if context is not None:
            context.sni_callback = lambda _, name, __: self.names.append(name)
        self.server = await asyncio.start_server(self._serve, "127.0.0.2", 0, ssl=context)
        return self.server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected.set()
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()


@pytest.fixture
async def container() -> AsyncIterator[Container]:
    made = Container()
    yield made
    made.server.close()
    await made.server.wait_closed()


async def test_address_instead_of_name(container) -> None:
    """A worker connects to the address; what it says in Host is the URL's. By its name the container is not found."""
    port = await container.start(None)
    loop = asyncio.get_running_loop()
    upstream = Upstream(f"http://{NAME}:{port}", loop, address="127.0.0.2")
    connection = await upstream._open()
    async with asyncio.timeout(5):
        await container.connected.wait()
    assert upstream.authority == f"{NAME}:{port}".encode()
    connection.transport.abort()
    with pytest.raises(UpstreamError):
        await Upstream(f"http://{NAME}:{port}", loop)._open()


async def test_tls_verifies_the_name(container, tmp_path) -> None:
    """With https the name of the URL is asked for and verified, or the one of backend_tls, never the address."""
    made = make_development_certificate(tmp_path, [NAME])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(made.certificate, made.private_key)
    url = f"https://{NAME}:{await container.start(context)}"
    trusting = ssl.create_default_context(cafile=made.ca)
    loop = asyncio.get_running_loop()
    for server_name in (None, "localhost"):
        connection = await Upstream(url, loop, trusting, server_name, "127.0.0.2")._open()
        connection.transport.abort()
    assert container.names == [NAME, "localhost"]
    with pytest.raises(UpstreamError) as refused:
        await Upstream(url, loop, trusting, "other.test", "127.0.0.2")._open()
    assert refused.value.kind == "tls"


async def test_addresses_that_come_and_go(board) -> None:
    """A delta keeps the backends whose address stays, connections and all, and lets go of those that went."""
    table, loop = RouteTable(), asyncio.get_running_loop()
    compiler = Compiler(table, World(Trust(b"", "", ()), None), board, Meters(), loop)
    url = f"http://{NAME}:5001"

    def publish(**rows: int) -> list:
        backends = tuple(BackendEntry(url, row, address.replace("_", ".")[1:]) for address, row in rows.items())
        spec = ServiceSpec(backends=(url,), auth_enabled=False, backend_tls=BackendTlsSpec())
        deployments = (DeploymentEntry("default", 100, backends),)
        entry = ServiceEntry(name="one", spec=spec, keys=(), deployments=deployments, born=0.0)
        assert compiler.apply(Update(serial=1, services=(entry,))) == {}
        return list(table.get("one").pools[0][1].backends)

    first, second = publish(_10_0_0_1=1, _10_0_0_2=2)
    assert (first.address, second.address) == ("10.0.0.1", "10.0.0.2")
    kept, third = publish(_10_0_0_2=2, _10_0_0_3=3)
    assert kept is second
    assert kept.upstream is second.upstream
    (reborn,) = publish(_10_0_0_9=1)
    assert reborn is not first, "a row that was lent to another address is another backend"
    assert (reborn.address, third.address) == ("10.0.0.9", "10.0.0.3")


async def test_control_the_address_of_another() -> None:
    """Control: where nobody listens nothing is reached, whatever the name is."""
    upstream = Upstream("http://localhost:1", asyncio.get_running_loop(), address="127.0.0.3")
    with pytest.raises(UpstreamError) as refused:
        await upstream._open()
    assert (refused.value.kind, refused.value.unsent) == ("refused", True)
