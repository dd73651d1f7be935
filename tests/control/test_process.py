"""The whole control process on real sockets, with real worker connections, from start to stop."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
import threading
from pathlib import Path

import aiohttp
import pytest

from gateway.control.process import ControlPlane, StartError, run
from gateway.core.settings import Settings


def listener(family: int = socket.AF_INET, address=("127.0.0.1", 0)) -> socket.socket:
    sock = socket.socket(family)
    sock.bind(address)
    sock.listen()
    return sock


class Running:
    """A control process as a task."""

    def __init__(self, plane: ControlPlane, path: Path) -> None:
        self.plane = plane
        self.path = path
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(run(plane, self.stop))

    async def ready(self) -> dict:
        async with asyncio.timeout(10):
            while not self.plane.ready_file.exists():
                if self.task.done():
                    self.task.result()
                await asyncio.sleep(0.01)
        return json.loads(self.plane.ready_file.read_text())

    async def end(self) -> None:
        self.stop.set()
        async with asyncio.timeout(10):
            await self.task


@pytest.fixture
async def start(tmp_path, store, board, make_spec):
    running: list[Running] = []

    def make(**changes) -> Running:
        (tmp_path / "link.sock").unlink(missing_ok=True)
        admin, metrics = listener(), listener()
        values = {
            "settings": Settings(data_dir=tmp_path / "data", services={"diabetes": make_spec(swagger_path=None)}),
            "places": {},
            "open_store": lambda: store,
            "board": board,
            "link_socket": listener(socket.AF_UNIX, str(tmp_path / "link.sock")),
            "admin_socket": admin,
            "metrics_socket": metrics,
            "admin_ssl": None,
            "workers": 1,
            "scoring_scheme": "https",
            "scoring_port": 8443,
            "scoring_url": "https://localhost:8443",
            "admin_url": f"http://127.0.0.1:{admin.getsockname()[1]}",
            "metrics_url": f"http://127.0.0.1:{metrics.getsockname()[1]}",
            "ca_file": tmp_path / "ca.crt",
            "ready_file": tmp_path / "ready.json",
            "supervisor_pid": 4711,
            "heartbeat": lambda: None,
            "certificates": {},
            "source": None,
            "hangup": asyncio.Event(),
        }
        running.append(Running(ControlPlane(**{**values, **changes}), tmp_path / "link.sock"))
        return running[-1]

    yield make
    for one in running:
        one.stop.set()
        await asyncio.gather(one.task, return_exceptions=True)
        for sock in (one.plane.link_socket, one.plane.admin_socket, one.plane.metrics_socket):
            sock.close()


async def test_from_start_to_stop(start, start_worker, store) -> None:
    """Ready is told when the worker serves; then scores, keys and metrics can be asked for; a stop leaves nothing."""
    running = start()
    worker = await start_worker(running.path)
    ready = await running.ready()
    assert stat.S_IMODE(running.plane.ready_file.stat().st_mode) == 0o600
    assert ready["pid"] == 4711
    assert ready["portal_url"] == ready["admin_url"]
    assert Path(ready["ca_file"]).is_absolute()
    assert ready["services"] == {
        "diabetes": {
            "scoring_uri": "https://localhost:8443/api/v1/service/diabetes/score",
            "swagger_uri": None,
        }
    }
    assert "diabetes" in worker.services
    token = Path(ready["admin_token_file"]).read_text().strip()
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        async with session.get(ready["admin_url"] + "/v1/services/diabetes/keys") as answer:
            assert answer.status == 200
        async with session.post(ready["admin_url"] + "/v1/services/diabetes/keys/primary/regenerate") as answer:
            assert (await answer.json())["acknowledged"]["workers"] == 1
        async with session.get(ready["metrics_url"] + "/metrics") as answer:
            assert "scoregate_workers_ready 1.0" in await answer.text()
    await running.end()
    assert store.closed
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("store")]


async def test_not_ready_without_workers(start, start_worker) -> None:
    """With one of two workers missing there is no ready file, and no change is made for the first seconds."""
    running = start(workers=2)
    await start_worker(running.path)
    token_file = running.plane.settings.data_dir / "admin-token"
    url = running.plane.admin_url + "/v1/services/diabetes/keys/primary/regenerate"
    async with aiohttp.ClientSession() as session, asyncio.timeout(10):
        while not token_file.exists():
            await asyncio.sleep(0.01)
        headers = {"Authorization": f"Bearer {token_file.read_text().strip()}"}
        async with session.post(url, headers=headers) as answer:
            assert answer.status == 503
        assert not running.plane.ready_file.exists()
        await start_worker(running.path, life="second")
        await running.ready()
        async with session.post(url, headers=headers) as answer:
            assert answer.status == 200


async def test_heartbeat(start) -> None:
    """The supervisor hears a heart beat from the first moment on, while the store is still being opened."""
    beats = asyncio.Queue()
    opening = threading.Event()

    def slow_open():
        opening.wait(10)
        raise StartError("the test ends here")

    running = start(heartbeat=lambda: beats.put_nowait(1), open_store=slow_open)
    async with asyncio.timeout(10):
        for _ in range(3):
            await beats.get()
    opening.set()
    with pytest.raises(StartError, match="the test ends here"):
        await running.task


async def test_error_while_opening_closes_the_store(start, store, tmp_path) -> None:
    """A start that fails after the store was opened closes it and says why."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "master.key").write_text("nothing")
    running = start()
    with pytest.raises(StartError, match=r"master\.key"):
        await running.task
    assert store.closed


async def test_ready_file_that_cannot_be_written(start, start_worker, tmp_path) -> None:
    """A ready file in a place that is no folder ends the start with one line that names it."""
    (tmp_path / "file").write_text("")
    running = start(ready_file=tmp_path / "file" / "ready.json")
    await start_worker(running.path)
    with pytest.raises(StartError, match=r"cannot write the ready file .*ready\.json"):
        async with asyncio.timeout(10):
            await running.task
