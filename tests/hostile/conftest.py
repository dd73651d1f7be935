"""Hostile peers: raw sockets before a real gateway process, and a backend behind it that keeps every byte."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from gateway_process import GatewayProcess
from recorder import Recorder

StartGateway = Callable[..., GatewayProcess]


@pytest.fixture(scope="module")
def start_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartGateway]:
    """Starts gateways: `start_gateway(services, tls=False, **scoring)`; ends them."""
    with ExitStack() as undo:

        def start(services: dict[str, Any], *, tls: bool, **scoring: Any) -> GatewayProcess:
            gateway = GatewayProcess(tmp_path_factory.mktemp("gateway"), services, tls=tls, **scoring)
            undo.callback(gateway.stop)
            return gateway

        yield start


@pytest.fixture(scope="module")
def recorder() -> Iterator[Recorder]:
    backend = Recorder()
    yield backend
    backend.stop()
