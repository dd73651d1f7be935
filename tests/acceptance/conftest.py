"""Acceptance: real TLS, sockets and processes, each test module with a gateway of its own in a folder of its own."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import model_servers
from running_gateway import Evidence, RunningGateway, write_config

LAST = Path(__file__).parent / "test_secrets.py"
StartGateway = Callable[..., RunningGateway]
StartBackend = Callable[..., model_servers.Backend]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The search for leaked secrets comes last: it looks at what every other test here left behind."""
    items.sort(key=lambda item: item.path == LAST)


@pytest.fixture(scope="session")
def evidence() -> Evidence:
    return Evidence()


@pytest.fixture(scope="module")
def start_gateway(evidence: Evidence, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartGateway]:
    """Starts gateways: `start_gateway(services, scoring={}, …)`, or by `arguments`; ends those that still run."""
    with ExitStack() as undo:

        def start(
            services: dict[str, Any] | None = None,
            *,
            arguments: list[str] | None = None,
            environ: dict[str, str] | None = None,
            **sections: Any,
        ) -> RunningGateway:
            folder = tmp_path_factory.mktemp("gateway")
            if arguments is None:
                arguments = ["--config", str(write_config(folder, services or {}, **sections))]
            gateway = RunningGateway(folder, arguments, environ or {}, evidence)
            undo.callback(gateway.stop)
            return gateway

        yield start


@pytest.fixture(scope="module")
def start_backend() -> Iterator[StartBackend]:
    """Starts containers that echo, remember and hold back (`model_servers.Backend`)."""
    with ExitStack() as undo:

        def start(**options: Any) -> model_servers.Backend:
            backend = model_servers.Backend(**options)
            undo.callback(backend.stop)
            return backend

        yield start


@pytest.fixture(scope="module")
def diabetes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a model server with the ten-feature model."""
    server = model_servers.diabetes(tmp_path_factory.mktemp("model"))
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def program() -> Callable[[str, str], str]:
    """`program("openssl", "apt-get install openssl")`: its path; without it the test skips, in CI it fails."""

    def find(name: str, how: str) -> str:
        beside = Path(sys.executable).parent / name
        found = str(beside) if beside.exists() else shutil.which(name)
        if found is None:
            text = f"{name} is missing: {how}"
            if os.environ.get("CI") == "true":
                pytest.fail(text)
            pytest.skip(text)
        return found

    return find
