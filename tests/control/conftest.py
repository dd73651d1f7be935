"""What the suites of the control process stand on: store and scoreboard in memory, workers that speak the link."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

sys.path.insert(0, str(Path(__file__).parent))

from control_memory import MemoryBoard, MemoryStore
from fake_worker import FakeProcess, FakeWorker

from gateway.control import founding
from gateway.control.api.application import application
from gateway.control.api.attempts import Attempts
from gateway.control.api.callers import CallerOperations
from gateway.control.api.credential import AdminToken, Gate, Identities
from gateway.control.api.keys import KeyOperations
from gateway.control.api.master_keys import MasterKeyOperations
from gateway.control.api.services import ServiceOperations
from gateway.control.api.tokens import TokenOperations
from gateway.control.api.view import View
from gateway.control.audit import AuditLog
from gateway.control.callers import Callers
from gateway.control.catalog import Catalog
from gateway.control.failures import Failures
from gateway.control.inventory import Inventory
from gateway.control.keyring import Keyring
from gateway.control.link import Link
from gateway.control.master_keys import MasterKeys
from gateway.control.portal.pages import Portal
from gateway.control.probes import Probes
from gateway.control.resolver import Lookup, Resolver
from gateway.control.rows import Rows
from gateway.control.served import Served
from gateway.control.signing import KeyStore, SigningKeys
from gateway.control.tally import Tally
from gateway.control.tokens import Tokens
from gateway.control.uri import Addresses
from gateway.control.uses import UseKeeper, Uses
from gateway.core.settings import Settings
from gateway.core.snapshot import Trust
from gateway.core.spec import ServiceSpec

TOKEN = "sga_" + "t" * 40
OWNER = {"Authorization": f"Bearer {TOKEN}"}


@dataclass(frozen=True)
class FilePlace:
    file: str
    line: int | None


@dataclass
class Rig:
    """A control process without its sockets, and as many fake workers as a test wants."""

    settings: Settings
    store: MemoryStore
    board: MemoryBoard
    link: Link
    catalog: Catalog
    probes: Probes
    resolver: Resolver
    keyring: Keyring
    tokens: Tokens
    audit: AuditLog
    uses: Uses
    app: web.Application
    path: Path
    workers: dict[str, FakeWorker] = field(default_factory=dict)
    processes: dict[str, FakeProcess] = field(default_factory=dict)

    @property
    def trust(self) -> Trust:
        """What workers judge credentials by now."""
        return self.tokens.keys.trust

    def worker(self, life: str) -> FakeWorker:
        """A fake worker that has not connected yet."""
        self.workers[life] = FakeWorker(self.path, life, number=len(self.workers) + 1)
        return self.workers[life]

    async def ready_worker(self, life: str) -> FakeWorker:
        """A worker that serves the newest snapshot."""
        worker = await self.worker(life).connect()
        async with asyncio.timeout(5):
            await self.link.gathered(len(self.workers))
        return worker


RigMaker = Callable[..., Awaitable[Rig]]


def unknown_host(host: str) -> list[str]:
    """The look-up of suites that resolve nothing."""
    raise OSError(f"{host} is unknown")


def spec(**fields: Any) -> ServiceSpec:
    """A service that nobody probes."""
    return ServiceSpec(**{"backends": ("http://127.0.0.1:5001",), "health": None, **fields})


@pytest.fixture
def make_spec() -> Callable[..., ServiceSpec]:
    return spec


@pytest.fixture
def owner() -> dict[str, str]:
    """The header of the admin."""
    return dict(OWNER)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def board() -> MemoryBoard:
    return MemoryBoard()


@pytest.fixture
def file_place() -> type[FilePlace]:
    return FilePlace


def listening(path: Path) -> socket.socket:
    """A Unix socket that workers can connect to."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


@pytest.fixture
async def make_rig(tmp_path: Path, store: MemoryStore, board: MemoryBoard) -> AsyncIterator[RigMaker]:
    """Builds a rig from services of the file, their places and settings; takes it down after the test."""
    undo: list[Callable[[], Awaitable[object]]] = []

    async def make(
        declared: Mapping[str, ServiceSpec] | None = None,
        places: Mapping[str, FilePlace] | None = None,
        *,
        settled: Callable[[], bool] = lambda: True,
        ack_seconds: float = 5.0,
        link_class: type[Link] = Link,
        secure: bool = False,
        look: Lookup = unknown_host,
        identities: Identities | None = None,
        **changes: Any,
    ) -> Rig:
        settings = replace(Settings(data_dir=tmp_path / "data"), **changes)
        now = datetime.now(UTC)
        foundation = founding.found(settings, store, now)
        keyring = Keyring(foundation.vault, foundation.digest_key)
        key_store = KeyStore(settings, store, keyring)
        inventory = Inventory(declared=declared or {}, places=places or {}, store=store, keyring=keyring, now=now)
        services, absent = inventory.take()
        processes: dict[str, FakeProcess] = {}
        workers: dict[str, FakeWorker] = {}

        def adopt(_pid: int, gone: Callable[[], None]) -> FakeProcess:
            life = next(life for life in workers if life not in processes)
            processes[life] = FakeProcess(gone, workers[life].die)
            return processes[life]

        thread = ThreadPoolExecutor(1)
        uses = Uses(store.key_uses(0))
        keeper = UseKeeper(uses, store, thread)
        link = link_class(
            tally=Tally(), keep_uses=keeper.keep, adopt=adopt, ack_seconds=ack_seconds, collect_seconds=0.2
        )
        probes = Probes(board, delay=lambda: 0.0)
        resolver = Resolver(look, interval=0.02)
        served = Served(
            keyring=keyring,
            rows=Rows(board),
            publisher=link,
            watches=(probes, resolver),
            addresses=resolver.addresses,
        )
        catalog = Catalog(
            store=store,
            thread=thread,
            keyring=keyring,
            served=served,
            settle=resolver.settle,
            settled=settled,
        )
        signing_keys = SigningKeys(
            keys=key_store.begin(),
            trust=founding.trust(settings, foundation),
            key_store=key_store,
            thread=thread,
            publisher=link,
        )
        tokens = Tokens(settings.tokens, signing_keys, catalog)
        await catalog.open(services, absent, signing_keys.trust)
        path = tmp_path / "link.sock"
        await link.start(listening(path))
        view = View(catalog, probes, board, Addresses("https", 8443, settings.scoring.public_url))
        token = AdminToken(TOKEN)
        audit = AuditLog(store, thread)
        attempts = Attempts(Failures(settings.admin.max_auth_failures_per_minute), audit)
        app = application(
            gate=Gate(token, settings.admin.reveal_keys, attempts, identities),
            services=ServiceOperations(catalog, view, link),
            keys=KeyOperations(catalog, uses),
            tokens=TokenOperations(catalog, tokens),
            callers=CallerOperations(Callers(catalog, keyring), uses, reveals=settings.admin.reveal_keys != "never"),
            master_keys=MasterKeyOperations(MasterKeys(foundation.master_keys, foundation.vault, store, thread)),
            audit=audit,
        )
        Portal(catalog, view, token, attempts, secure=secure).add_to(app)
        rig = Rig(
            settings=settings,
            store=store,
            board=board,
            link=link,
            catalog=catalog,
            probes=probes,
            resolver=resolver,
            keyring=keyring,
            tokens=tokens,
            audit=audit,
            uses=uses,
            app=app,
            path=path,
            workers=workers,
            processes=processes,
        )

        keeping = asyncio.create_task(keeper.run(catalog.key_ids))

        async def take_down() -> None:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            for worker in workers.values():
                if hasattr(worker, "task"):
                    await worker.disconnect()
            await probes.close()
            await resolver.close()
            await link.close()
            thread.shutdown()

        undo.append(take_down)
        return rig

    yield make
    for step in reversed(undo):
        await step()


@pytest.fixture
async def rig(make_rig: RigMaker) -> Rig:
    """A rig without services."""
    return await make_rig()


@pytest.fixture
async def start_worker() -> AsyncIterator[Callable[..., Awaitable[FakeWorker]]]:
    """Connects fake workers to the link socket of a running control process."""
    workers: list[FakeWorker] = []

    async def start(path: Path, life: str = "first") -> FakeWorker:
        workers.append(await FakeWorker(path, life, number=len(workers) + 1).connect())
        return workers[-1]

    yield start
    for worker in workers:
        await worker.disconnect()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for localhost and its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path
