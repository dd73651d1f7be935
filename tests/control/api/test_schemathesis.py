"""Requests made up from the OpenAPI document, good and bad ones: no 5xx, and no answer outside the document.

schemathesis runs as a process of its own against the API on a real socket and a real store.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway.control.api.page import Page
from gateway.control.callers import Callers
from gateway.control.probes import Prober
from gateway.store import open_store

PROGRAM = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
CONFIGURATION = """
[headers]
Authorization = "{authorization}"
[checks]
# What no schema can tell is 400 by its words: a time that is over, two limits of one name.
positive_data_acceptance.enabled = false
# A precondition that does not hold may be told before the body is looked at: 412.
negative_data_rejection.expected-statuses = ["4xx", "5xx"]
"""

Run = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
def store(tmp_path):
    """SQLite in place of the store in memory: also what only a database stumbles over is found."""
    made = open_store(f"sqlite:///{tmp_path / 'gateway.db'}")
    yield made
    made.close()


@pytest.fixture
def rest(monkeypatch) -> None:
    """Nobody listens at the backends that are made up here: they are not probed."""

    async def wait(_prober: Prober, _delay: float) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Prober, "run", wait)


@pytest.fixture
async def run(rest, make_rig, make_spec, owner, aiohttp_server, tmp_path) -> Run:  # noqa: PLR0917 - fixtures
    """`run(*options)`: exit code and output of schemathesis. A service `diabetes` is there and stays."""
    if PROGRAM is None:
        why = "schemathesis is not installed: make lint installs what the tests need"
        pytest.fail(why) if os.environ.get("CI") == "true" else pytest.skip(why)
    rig = await make_rig({"diabetes": make_spec(token_auth_enabled=True)})
    await rig.ready_worker("a")
    server = await aiohttp_server(rig.app)
    configuration = tmp_path / "schemathesis.toml"
    configuration.write_text(CONFIGURATION.format(authorization=owner["Authorization"]))

    async def start(*options: str) -> tuple[int, str]:
        url = str(server.make_url("/v1/openapi.json"))
        command = (PROGRAM, "--config-file", str(configuration), "run", url, "--continue-on-failure", *options)
        process = await asyncio.create_subprocess_exec(
            *command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode()

    return start


async def test_a_few_requests_to_every_operation(run: Run) -> None:
    """The examples of the document, and a good and a bad request made up for each operation."""
    code, output = await run("--phases", "examples,fuzzing", "--max-examples", "1", "--seed", "7")
    assert code == 0, output


@pytest.mark.prove
@pytest.mark.parametrize("seed", [1, 2])
async def test_thousands_of_requests(run: Run, seed: int) -> None:
    """Every bound of every schema, a hundred random requests to each operation, and chains of them."""
    phases = "examples,coverage,fuzzing,stateful"
    code, output = await run("--phases", phases, "--max-examples", "100", "--seed", str(seed))
    assert code == 0, output


async def test_control_broken_operations_are_found(run: Run, monkeypatch) -> None:
    """One that fails, and one that answers outside the document."""

    def fail(*_: object) -> None:
        raise RuntimeError("the control")

    monkeypatch.setattr(Callers, "of", fail)
    monkeypatch.setattr(Page, "cut", lambda *_: ([], {"next": 5}))
    named = [option for name in ("list_callers", "list_services") for option in ("--include-operation-id", name)]
    code, output = await run(*named, "--phases", "examples,fuzzing", "--max-examples", "2", "--seed", "7")
    assert code == 1, output
    assert "Server error" in output
    assert "Response violates schema" in output
