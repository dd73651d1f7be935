"""The demo's own model server, route by route, and side by side with the real one."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from gateway.demo import install, model_server, score
from gateway.demo.aml_response import AMLResponse
from gateway.demo.child import Child
from gateway.demo.guide import ROWS
from gateway.demo.ports import HOST, free_port
from gateway.demo.progress import Progress
from gateway.demo.scoring import answers

SCRIPT = Path(score.__file__)
JSON = {"Content-Type": "application/json"}
MakeClient = Callable[[web.Application], Awaitable[TestClient[Any, Any]]]

# What both servers must answer alike: method, path, headers, body.
REQUESTS: list[tuple[str, str, dict[str, str], bytes]] = [
    ("GET", "/", {}, b""),
    ("HEAD", "/", {}, b""),
    ("POST", "/score", JSON, ROWS.encode()),
    ("POST", "/score", {"Content-Type": "text/plain"}, ROWS.encode()),
    ("POST", "/score", {"Content-Type": "application/x-www-form-urlencoded"}, ROWS.encode()),
    ("POST", "/score", JSON, b"{}"),
    ("POST", "/score", JSON, b"\xff"),
    ("GET", "/score?data=[[0,0,0,0,0,0,0,0,0,0]]", {}, b""),
    ("GET", "/score?data=1&data=x", {}, b""),
    ("OPTIONS", "/score", {}, b""),
    ("PUT", "/score", {}, b""),
    ("GET", "/nothing", {}, b""),
    ("GET", "/swagger.json?version=9", {}, b""),
    ("POST", "/score", JSON | {"x-request-id": "r1", "x-ms-client-request-id": "c1", "TraceId": "t1"}, ROWS.encode()),
    ("POST", "/score", JSON | {"x-ms-request-id": "m1"}, ROWS.encode()),
    ("POST", "/score", JSON | {"x-request-id": "r" * 101}, ROWS.encode()),
    ("POST", "/score", JSON | {"x-ms-client-request-id": "c" * 101}, ROWS.encode()),
]
LOOPBACK = "0100007F"
COMPARED = ("content-type", "x-ms-run-function-failed", "x-ms-client-request-id", "traceid")


@pytest.fixture
async def client(aiohttp_client: MakeClient) -> TestClient[Any, Any]:
    script = model_server.load(SCRIPT)
    return await aiohttp_client(model_server.application(script.run, "diabetes"))


async def test_healthy(client: TestClient[Any, Any]) -> None:
    """GET / says Healthy."""
    response = await client.get("/")
    assert (response.status, await response.text()) == (200, "Healthy")


async def test_scores(client: TestClient[Any, Any]) -> None:
    """The two rows are answered byte for byte as published, with the headers of the Azure server."""
    response = await client.post("/score", data=ROWS, headers=JSON)
    assert await response.text() == "[217.67978776218715, 224.78937091757172]"
    assert response.headers["x-ms-run-function-failed"] == "False"
    assert float(response.headers["x-ms-run-fn-exec-ms"]) >= 0
    assert response.headers["x-request-id"] == response.headers["x-ms-request-id"]


@pytest.mark.parametrize(
    ("version", "member"), [("2", "swagger"), ("2.0", "swagger"), ("3", "openapi"), ("3.1", "openapi")]
)
async def test_swagger_versions(client: TestClient[Any, Any], version: str, member: str) -> None:
    """Each version is described, with the service's name and the score route."""
    document = await (await client.get(f"/swagger.json?version={version}")).json()
    assert document[member].startswith(version[0])
    assert document["info"]["title"] == "diabetes"
    assert "post" in document["paths"]["/score"]


async def test_script_failure_is_500(aiohttp_client: MakeClient) -> None:
    """An exception of run() is a 500 that says the script failed, without telling the client what was raised."""

    def run(_raw: str) -> Any:
        raise RuntimeError("secret detail")

    client = await aiohttp_client(model_server.application(run, "x"))
    response = await client.post("/score", data=b"{}")
    assert response.status == 500
    assert response.headers["x-ms-run-function-failed"] == "True"
    assert "secret" not in await response.text()


async def test_script_chooses_its_answer(aiohttp_client: MakeClient) -> None:
    """Bytes, status and headers that a script chose arrive as they are."""
    chosen = AMLResponse(b"\x89PNG", 503, {"Content-Type": "image/png"})
    client = await aiohttp_client(model_server.application(lambda _raw: chosen, "x"))
    response = await client.post("/score")
    assert (response.status, await response.read()) == (503, b"\x89PNG")
    assert response.headers.getall("Content-Type") == ["image/png"]
    assert response.headers["x-ms-run-function-failed"] == "True"


async def test_one_request_at_a_time(aiohttp_client: MakeClient) -> None:
    """Two requests at once never run the script at once, as one worker of the Azure server would not."""
    inside = most = 0

    def run(_raw: str) -> Any:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        inside -= 1

    client = await aiohttp_client(model_server.application(run, "x"))
    await asyncio.gather(*(client.post("/score") for _ in range(20)))
    assert most == 1


def test_a_script_that_does_not_load_is_told(tmp_path: Path) -> None:
    """A script without init() is refused before anything listens."""
    script = tmp_path / "script.py"
    script.write_text("def run(raw): return raw\n")
    with pytest.raises(AttributeError, match="init"):
        model_server.load(script)


@pytest.fixture(scope="module")
def azure(azure_environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Child]]:
    home, port = tmp_path_factory.mktemp("azure"), free_port()
    environ = install.environ("diabetes", SCRIPT, home, os.environ)
    child = Child("model server", install.command(azure_environment, port), log=home / "log", environ=environ)
    try:
        child.until(lambda: answers(port), progress=Progress(), seconds=60)
        yield port, child
    finally:
        child.stop(seconds=10)


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: f"{request[0]} {request[1]} {request[2]}"[:70])
async def test_same_answers_as_the_real_server(
    client: TestClient[Any, Any], azure: tuple[int, Child], request_: tuple[str, str, dict[str, str], bytes]
) -> None:
    """Status, message, body and the Azure headers are those of azureml-inference-server-http."""
    method, path, headers, body = request_
    ours = await client.request(method, path, headers=headers, data=body, skip_auto_headers=["Content-Type"])
    ours_body = await ours.read()
    connection = HTTPConnection(HOST, azure[0], timeout=10)
    connection.request(method, path, body, headers)
    theirs = connection.getresponse()
    theirs_body = theirs.read()
    connection.close()
    assert ours.status == theirs.status
    if theirs.status not in (404, 405) or "version" in path:  # there only the wording of the message differs
        assert ours_body == theirs_body
    assert {n: ours.headers.get(n) for n in COMPARED} == {n: theirs.headers.get(n) for n in COMPARED}
    for name in ("x-request-id", "x-ms-request-id"):
        assert (name in ours.headers) == (theirs.headers[name] is not None)


def test_the_real_server_listens_on_loopback_alone(
    azure: tuple[int, Child], group_of: Callable[[int], set[int]], sockets_of: Callable[[set[int]], list[Any]]
) -> None:
    """The Azure server, which binds 0.0.0.0 by itself, has one listening socket and no connection to anywhere."""
    port, child = azure
    sockets = sockets_of(group_of(child.pid))
    assert [(address, own) for address, own, remote in sockets if remote == 0] == [(LOOPBACK, port)]
    assert [entry for entry in sockets if entry[0] != LOOPBACK] == []


def test_a_listener_on_all_addresses_would_be_noticed(sockets_of: Callable[[set[int]], list[Any]]) -> None:
    """Control: a socket on 0.0.0.0 does show up in what the test above looks at."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        assert ("00000000", server.getsockname()[1], 0) in sockets_of({os.getpid()})
