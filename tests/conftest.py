"""What suites of several folders need: the real model server, installed once and kept, and the demo as a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.demo import install
from gateway.demo.error import DemoError
from gateway.demo.progress import Progress

KEPT = Path(__file__).parent.parent / "var" / "tests" / "model-server"


@pytest.fixture(scope="session")
def azure_environment() -> Path:
    """The environment with azureml-inference-server-http; without a package index the tests that need it skip."""
    KEPT.mkdir(parents=True, exist_ok=True)
    try:
        return install.install(KEPT, Progress())
    except DemoError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(f"{error}; install with: make run")


class RunningDemo:
    """`scoregate demo` in a folder of its own. Output and errors are in `folder`."""

    def __init__(self, folder: Path, model_server: str, arguments: tuple[str, ...], environ: dict[str, str]) -> None:
        self.folder = folder
        self.ready_file = folder / "var" / "ready.json"
        self._output, self._errors = folder / "output.txt", folder / "errors.txt"
        with self._output.open("w") as output, self._errors.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "demo", *(arguments or ("--port-base", "0"))],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=os.environ | environ | {"SCOREGATE_DEMO_MODEL_SERVER": model_server},
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def errors(self) -> str:
        return self._errors.read_text()

    def ready(self) -> dict[str, Any]:
        """The ready file, once it is there."""
        deadline = time.monotonic() + 120
        while not self.ready_file.exists():
            assert self.process.poll() is None, f"the demo ended: {self.errors}"
            assert time.monotonic() < deadline, f"the demo is not ready: {self.output}"
            time.sleep(0.05)
        ready: dict[str, Any] = json.loads(self.ready_file.read_text())
        return ready

    def wait(self) -> int:
        """The exit status, within the time that an orderly end takes."""
        return self.process.wait(40)

    def stop(self) -> int:
        """End it as Ctrl-C does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.wait()


StartDemo = Callable[..., RunningDemo]


@pytest.fixture(scope="module")
def start_demo() -> Iterator[StartDemo]:
    """Starts demos: `start_demo(folder, *arguments, model_server="own", environ={})`; ends those that still run."""
    with ExitStack() as undo:

        def start(
            folder: Path, *arguments: str, model_server: str = "own", environ: dict[str, str] | None = None
        ) -> RunningDemo:
            demo = RunningDemo(folder, model_server, arguments, environ or {})
            undo.callback(demo.stop)
            return demo

        yield start
