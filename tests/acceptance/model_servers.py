"""Model servers: one of the tests' own that remembers and holds back, and the entry scripts of others as processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from gateway import demo
from gateway.demo import install
from gateway.demo.ports import HOST, free_port

DIABETES = Path(demo.__file__).parent / "score.py"
START_SECONDS = 30


@dataclass(frozen=True)
class Seen:
    """A request as a container received it. Names of `headers` in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Backend:
    """A container in a thread: gives each body back as it came, remembers it, and counts how many it has at once."""

    def __init__(self, *, seconds: float = 0.0, answer: Callable[[web.Request, bytes], web.Response] | None = None):
        """`seconds`: how long each request takes. `answer`: instead of the echo."""
        self.seen: list[Seen] = []
        self.most_at_once = 0
        self._at_once = 0
        self._seconds = seconds
        self._answer = answer or _echo
        self._changed = threading.Condition()
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), daemon=True)
        self._thread.start()
        assert started.wait(START_SECONDS)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._port}"

    def hold(self) -> None:
        """From now on requests wait, until `let_go`."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def let_go(self) -> None:
        self._loop.call_soon_threadsafe(self._open.set)

    def wait_for(self, count: int) -> None:
        """Return once this many requests are here at the same time."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._at_once >= count, START_SECONDS)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_SECONDS)

    async def _serve(self, started: threading.Event) -> None:
        self._loop, self._stop, self._open = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        self._open.set()
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, HOST, 0)
        await site.start()
        self._port = runner.addresses[0][1]
        started.set()
        await self._stop.wait()
        self._open.set()
        await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        if request.path == "/":
            return web.Response(text="Healthy")  # the gateway's probes: nothing that a client sent
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append(Seen(request.method, request.path_qs, headers, body))
        self._count(+1)
        try:
            await self._open.wait()
            if self._seconds:
                await asyncio.sleep(self._seconds)
            return self._answer(request, body)
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        with self._changed:
            self._at_once += change
            self.most_at_once = max(self.most_at_once, self._at_once)
            self._changed.notify_all()


def _echo(request: web.Request, body: bytes) -> web.Response:
    return web.Response(body=body, headers={"Content-Type": request.headers.get("Content-Type", "text/plain")})


class Process:
    """A program that listens on a port of 127.0.0.1, in a process group of its own."""

    def __init__(
        self,
        name: str,
        folder: Path,
        command: Sequence[str | Path],
        port: int,
        *,
        path: str = "/",
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.url = f"http://{HOST}:{port}"
        log = folder / f"{name}.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environ,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not _answers(self.url + path):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise AssertionError(f"{name} does not answer: {log.read_text()}")
            time.sleep(0.02)

    def stop(self) -> None:
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        with contextlib.suppress(ProcessLookupError):  # the group ends with its leader, as a rule
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def diabetes(folder: Path) -> Process:
    """Scoregate's small model server with the ten-feature model."""
    port = free_port()
    command = [sys.executable, "-m", "gateway.demo.model_server", "--entry-script", DIABETES, "--port", str(port)]
    return Process("diabetes", folder, command, port)


def azure(folder: Path, environment: Path, entry_script: str) -> Process:
    """The Azure ML model server with an entry script."""
    file, port = folder / "score.py", free_port()
    file.write_text(entry_script)
    environ = install.environ("raw", file, folder, os.environ)
    return Process("azure", folder, install.command(environment, port), port, environ=environ)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False
