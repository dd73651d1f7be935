"""Faults: real gateways and containers as processes that are killed, stopped, starved and flooded.

In `make test` each fault happens a few times; `make prove` repeats it, and prints what it costs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "acceptance"))
sys.path.insert(0, str(Path(__file__).parent))
from containers_apart import Container
from running_gateway import Evidence, RunningGateway, write_config

HERE = Path(__file__).parent

StartGateway = Callable[..., RunningGateway]
StartContainer = Callable[..., Container]


@pytest.fixture(scope="module")
def start_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartGateway]:
    """Starts gateways: `start_gateway(services, scoring={}, …)`; ends them.

    `altered`: as `altered_gateway` does it. `descriptors`: how many each of its processes may have open.
    """
    with ExitStack() as undo:

        def start(
            services: dict[str, Any],
            *,
            altered: str = "",
            descriptors: int | None = None,
            environ: dict[str, str] | None = None,
            **sections: Any,
        ) -> RunningGateway:
            folder = tmp_path_factory.mktemp("gateway")
            arguments = ["--config", str(write_config(folder, services, **sections))]
            program = RunningGateway.PROGRAM
            if altered:
                program = (sys.executable, str(HERE / "altered_gateway.py"), altered)
            if descriptors is not None:
                program = ("/bin/sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh", *program)
            gateway = RunningGateway(folder, arguments, environ or {}, Evidence(), program)
            undo.callback(gateway.stop)
            return gateway

        yield start


@pytest.fixture(scope="module")
def start_container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartContainer]:
    """Starts containers as processes (`containers_apart.Container`); ends them."""
    with ExitStack() as undo:

        def start(**options: Any) -> Container:
            container = Container(tmp_path_factory.mktemp("container"), **options)
            undo.callback(container.kill)
            return container

        yield start


@pytest.fixture
def show(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints a measured figure where a person sees it: in `make prove`, or with `-s`."""

    def say(text: str) -> None:
        if request.config.option.markexpr == "prove" or request.config.option.capture == "no":
            with capsys.disabled():
                sys.stdout.write(f"\n{text}\n")

    return say
