"""The demo as a person starts it: one process, a folder, and what is left when it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.client import Webservice, Workspace
from gateway.demo.guide import ROWS

KNOWN = "[217.67978776218715, 224.78937091757172]"
ProcessesIn = Callable[[Path], set[int]]
StartDemo = Callable[..., Any]


@pytest.fixture(scope="module")
def demo(start_demo: StartDemo, tmp_path_factory: pytest.TempPathFactory) -> Any:
    demo = start_demo(tmp_path_factory.mktemp("demo"))
    demo.ready()
    return demo


def _nothing_left(folder: Path, processes_in: ProcessesIn) -> bool:
    deadline = time.monotonic() + 20
    while processes_in(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not processes_in(folder)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_ready_file_has_addresses_and_keys(demo: Any) -> None:
    """The ready file tells everything a client needs, both keys of the service included, to this user alone."""
    ready = demo.ready()
    service = ready["services"]["diabetes"]
    assert ready.keys() >= {
        "scoring_url",
        "admin_url",
        "metrics_url",
        "portal_url",
        "ca_file",
        "admin_token_file",
        "pid",
    }
    assert service.keys() >= {"scoring_uri", "swagger_uri", "primary_key", "secondary_key"}
    assert service["primary_key"] != service["secondary_key"]
    assert (_mode(demo.ready_file), _mode(demo.folder / "var")) == (0o600, 0o700)


def test_sdk_scores_with_key_and_token(demo: Any) -> None:
    """Key and token are both on: the SDK gets both and scores."""
    demo.ready()
    with Workspace.from_ready_file(demo.ready_file) as workspace:
        service = Webservice(workspace, "diabetes")
        assert service.run(ROWS) == json.loads(KNOWN)
        assert service.get_keys()[0] == demo.ready()["services"]["diabetes"]["primary_key"]
        assert service.get_token()[0].count(".") == 2


def test_printed_curl_line_works(demo: Any) -> None:
    """The curl line of the guide, pasted into a shell, gives the two known numbers."""
    line = re.search(r"^  (curl --cacert .*\n.*)$", demo.output, re.MULTILINE)
    assert line is not None
    done = subprocess.run(["bash", "-c", line[1]], capture_output=True, text=True, check=False, timeout=30)
    assert done.stdout == KNOWN, done.stderr


def test_printed_python_works(demo: Any) -> None:
    """The Python lines of the guide, put into a file, print the two known numbers."""
    lines = re.search(r"^  import requests\n(?:  .*\n)+", demo.output, re.MULTILINE)
    assert lines is not None
    program = re.sub(r"^  ", "", lines[0], flags=re.MULTILINE)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30)
    assert done.stdout.strip() == KNOWN, done.stderr


def test_guide_names_every_address(demo: Any) -> None:
    """Portal, metrics, CA and the demo's own score are on the screen, in plain lines without terminal codes."""
    ready, output = demo.ready(), demo.output
    for part in (ready["portal_url"], ready["metrics_url"], ready["ca_file"], KNOWN, "Ctrl-C ends everything"):
        assert part in output
    assert "\x1b" not in output
    assert re.search(r"^\[ +\d+\.\d s\] ", output, re.MULTILINE)


def test_listens_on_loopback_alone(
    demo: Any, processes_in: ProcessesIn, sockets_of: Callable[[set[int]], list[Any]]
) -> None:
    """No process of the demo listens on another address than 127.0.0.1."""
    listening = [entry for entry in sockets_of(processes_in(demo.folder)) if entry[2] == 0]
    assert len(listening) >= 4
    assert {address for address, _, _ in listening} == {"0100007F"}


def test_second_demo_in_the_same_folder_is_refused(demo: Any) -> None:
    """A demo that already runs in ./var is named by its process id; the first is not disturbed."""
    second = subprocess.run(
        [sys.executable, "-m", "gateway", "demo", "--port-base", "0"],
        cwd=demo.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert second.returncode == 1
    assert f"a demo already runs in {demo.folder / 'var'} (process {demo.process.pid})" in second.stderr
    assert demo.ready_file.exists()


def test_end_and_second_start(start_demo: StartDemo, tmp_path: Path, processes_in: ProcessesIn) -> None:
    """Ctrl-C ends with 0, no ready file, no process; the next start has the same keys and the same CA."""
    first = start_demo(tmp_path)
    before = first.ready()
    ca = Path(before["ca_file"]).read_bytes()
    assert first.stop() == 0
    assert not first.ready_file.exists()
    assert _nothing_left(tmp_path, processes_in)
    second = start_demo(tmp_path)
    after = second.ready()
    for slot in ("primary_key", "secondary_key"):
        assert after["services"]["diabetes"][slot] == before["services"]["diabetes"][slot]
    assert Path(after["ca_file"]).read_bytes() == ca
    assert second.stop() == 0


def test_taken_port(start_demo: StartDemo, tmp_path: Path, processes_in: ProcessesIn) -> None:
    """A taken port is one line that names it, exit status 1, and nothing is left running."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        demo = start_demo(tmp_path, "--port-base", str(port))
        assert demo.wait() == 1
    assert demo.errors.startswith(f"scoregate demo: port {port} (scoring) on 127.0.0.1 is taken; ")
    assert demo.errors.count("\n") == 1
    assert _nothing_left(tmp_path, processes_in)


@pytest.mark.parametrize("victim", ["model server", "gateway"])
def test_death_of_a_part_ends_everything(
    start_demo: StartDemo, tmp_path: Path, processes_in: ProcessesIn, victim: str
) -> None:
    """When the model server or the gateway dies, one line says which and how; status 1; nothing is left running."""
    demo = start_demo(tmp_path)
    gateway = demo.ready()["pid"]
    pid = gateway if victim == "gateway" else _model_server(processes_in(tmp_path))
    os.kill(pid, signal.SIGKILL)
    assert demo.wait() == 1
    assert demo.errors.startswith(f"scoregate demo: the {victim} ended (killed by SIGKILL); ")
    assert demo.errors.count("\n") == 1
    assert not demo.ready_file.exists()
    assert _nothing_left(tmp_path, processes_in)


def test_kill_9_leaves_nothing(start_demo: StartDemo, tmp_path: Path, processes_in: ProcessesIn) -> None:
    """When the demo itself is killed, gateway, workers and model server end by themselves."""
    demo = start_demo(tmp_path)
    demo.ready()
    assert len(processes_in(tmp_path)) >= 4
    demo.process.kill()
    demo.process.wait()
    assert _nothing_left(tmp_path, processes_in)


def test_without_a_package_index(start_demo: StartDemo, tmp_path: Path) -> None:
    """Where the real model server cannot be installed, one line says so and the demo runs with its own."""
    offline = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""}
    demo = start_demo(tmp_path, model_server="auto", environ=offline)
    demo.ready()
    assert "cannot be installed (No matching distribution found" in demo.output
    assert "small model server gives the same answers in its place" in demo.output
    assert demo.stop() == 0


def _model_server(pids: set[int]) -> int:
    return next(pid for pid in pids if b"gateway.demo.model_server" in Path(f"/proc/{pid}/cmdline").read_bytes())
