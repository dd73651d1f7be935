"""Scoring as clients in any language do it: rows, bytes, documents, ids, and the refusals that are not about keys."""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Iterator

import model_servers
import pytest
from running_gateway import JSON, ROWS, SCORES, RunningGateway
from wire import bearer

AUTHORISED_PATHS = ("/api/v1/service/diabetes/score", "/api/v1/service/diabetes/swagger.json")
RAW_HTTP = """\
from azureml_inference_server_http.api.aml_request import rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse

def init():
    pass

@rawhttp
def run(request):
    return AMLResponse(request.get_data(False), 200, {"Content-Type": request.headers["Content-Type"]})
"""


def _chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


PNG = (
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", bytes([0, 0, 1, 0, 0, 0, 1, 0, 8, 0, 0, 0, 0]))
    + _chunk(b"IDAT", zlib.compress(b"".join(b"\0" + bytes(range(256)) for _ in range(256)), 0))
    + _chunk(b"IEND", b"")
)
"""A grey ramp of 256 by 256: every byte value, line ends and zeros among them."""


@pytest.fixture(scope="module")
def echo(start_backend) -> model_servers.Backend:
    return start_backend()


@pytest.fixture(scope="module")
def gateway(start_gateway, diabetes, echo) -> RunningGateway:
    return start_gateway(
        {
            "diabetes": {"backends": [diabetes], "token_auth_enabled": True},
            "raw": {"backends": [echo.url]},
            "small": {"backends": [echo.url], "max_request_bytes": 100},
            "here": {"backends": [echo.url], "allowed_ips": ["127.0.0.0/8"]},
            "elsewhere": {"backends": [echo.url], "allowed_ips": ["192.0.2.0/24"]},
            "undocumented": {"backends": [echo.url], "swagger_path": None},
        }
    )


@pytest.fixture(scope="module")
def key(gateway: RunningGateway) -> str:
    return gateway.keys("diabetes")[0]


@pytest.fixture(scope="module")
def azure(azure_environment, start_gateway, tmp_path_factory) -> Iterator[RunningGateway]:
    """A gateway before the Azure ML model server with a raw-http entry script."""
    server = model_servers.azure(tmp_path_factory.mktemp("azure"), azure_environment, RAW_HTTP)
    yield start_gateway({"raw": {"backends": [server.url]}}, scoring={"workers": 1})
    server.stop()


@pytest.mark.parametrize("credential", ["primary", "secondary", "token"])
def test_two_rows(gateway: RunningGateway, credential: str) -> None:
    """The two-row document gives the two known numbers to the last digit, with either key and with a token."""
    primary, secondary = gateway.keys("diabetes")
    known = {"primary": primary, "secondary": secondary, "token": gateway.token("diabetes")}
    answer = gateway.score("diabetes", known[credential])
    assert answer.text == "[217.67978776218715, 224.78937091757172]"
    assert answer.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_row_counts(gateway: RunningGateway, key: str, count: int) -> None:
    """One document may hold one row or a thousand: there are as many answers, in the order of the rows."""
    rows = json.loads(ROWS)["data"]
    body = json.dumps({"data": [rows[number % 2] for number in range(count)]}).encode()
    assert gateway.score("diabetes", key, body).json == [SCORES[number % 2] for number in range(count)]


def test_order_of_rows_is_kept(gateway: RunningGateway, key: str) -> None:
    """Control: rows the other way round give the numbers the other way round, so the model did compute them."""
    body = json.dumps({"data": json.loads(ROWS)["data"][::-1]}).encode()
    assert gateway.score("diabetes", key, body).json == SCORES[::-1]


def test_run_of_the_sdk(gateway: RunningGateway) -> None:
    """The SDK scores by itself, with text or with data, and finds the credential it needs."""
    service = gateway.service("diabetes")
    assert service.run(ROWS.decode()) == service.run(json.loads(ROWS)) == SCORES


def test_score_of_the_command_line(gateway: RunningGateway) -> None:
    """`scoregate score` prints the answer; the document comes on stdin."""
    done = gateway.cli("score", "diabetes", given=ROWS.decode())
    assert (done.returncode, json.loads(done.stdout)) == (0, SCORES), done.stderr


def test_png_through_a_raw_http_entry_script(azure: RunningGateway) -> None:
    """A picture sent to the Azure ML model server with a raw-http script comes back byte for byte."""
    answer = azure.score("raw", azure.keys("raw")[0], PNG, {"Content-Type": "image/png"})
    assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
    assert answer.body == PNG


def test_bytes_are_untouched(gateway: RunningGateway, echo: model_servers.Backend) -> None:
    """The container receives exactly the bytes that were sent, and the client exactly those it answered."""
    echo.seen.clear()
    answer = gateway.score("raw", gateway.keys("raw")[0], PNG, {"Content-Type": "image/png"})
    (seen,) = echo.seen
    assert seen.body == answer.body == PNG
    assert seen.headers["content-type"] == "image/png"


def test_large_body_flows(gateway: RunningGateway) -> None:
    """Twenty megabytes, too large to be held, pass in both directions."""
    body = PNG * math.ceil(20_000_000 / len(PNG))
    answer = gateway.score("raw", gateway.keys("raw")[0], body, {"Content-Type": "image/png"})
    assert answer.body == body


def test_swagger_json(gateway: RunningGateway, key: str) -> None:
    """The model's description is served at swagger_uri, under the same keys; a service without one says null."""
    service = gateway.service("diabetes")
    assert service.swagger_uri.endswith(AUTHORISED_PATHS[1])
    assert gateway.ask("GET", AUTHORISED_PATHS[1], headers=bearer(key)).json["swagger"] == "2.0"
    assert gateway.ask("GET", AUTHORISED_PATHS[1]).status == 401
    assert gateway.service("undocumented").swagger_uri is None


def test_healthy(gateway: RunningGateway) -> None:
    """`GET /` says Healthy without a credential, as load balancers before Azure's front end expect."""
    answer = gateway.ask("GET", "/")
    assert (answer.status, answer.text) == (200, "Healthy")


def test_request_ids_are_echoed(gateway: RunningGateway, key: str, echo: model_servers.Backend) -> None:
    """Ids that a client sends come back and reach the container; who sends none is given one."""
    ids = {"x-request-id": "order-7", "x-ms-client-request-id": "caller-7"}
    echo.seen.clear()
    answer = gateway.score("raw", gateway.keys("raw")[0], headers=ids)
    assert {name: answer.headers[name] for name in ids} == ids
    assert {name: echo.seen[0].headers[name] for name in ids} == ids
    made = {gateway.score("diabetes", key).headers["x-request-id"] for _ in range(2)}
    assert len(made) == 2
    refused = gateway.score("diabetes", "wrong", headers=ids)
    assert (refused.status, refused.headers["x-request-id"], refused.json["request_id"]) == (401, "order-7", "order-7")


def test_refusals_are_problem_documents(gateway: RunningGateway) -> None:
    """What the gateway itself refuses is told as RFC 9457 asks, with a reason phrase for clients that show no more."""
    answer = gateway.score("diabetes")
    assert (answer.status, answer.reason) == (401, "Unauthorized")
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json
    assert (problem["type"], problem["title"], problem["status"]) == ("about:blank", "Unauthorized", 401)
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]


def test_body_limit(gateway: RunningGateway, echo: model_servers.Backend) -> None:
    """A body over max_request_bytes is refused with 413, and the container sees nothing; one of that size passes."""
    key = gateway.keys("small")[0]
    echo.seen.clear()
    answer = gateway.score("small", key, b"x" * 101)
    assert answer.status == 413
    assert "101 bytes" in answer.json["detail"]
    assert "100 (max_request_bytes)" in answer.json["detail"]
    assert not echo.seen
    assert gateway.score("small", key, b"x" * 100).status == 200


def test_body_limit_of_unannounced_length(gateway: RunningGateway, echo: model_servers.Backend) -> None:
    """A body in chunks, whose length nobody told, is cut off at the limit with the same 413."""
    echo.seen.clear()
    headers = bearer(gateway.keys("small")[0]) | {"Transfer-Encoding": "chunked"}
    with gateway.wire() as wire:
        answer = wire.ask("POST", gateway.path("small"), b"65\r\n" + b"x" * 101 + b"\r\n0\r\n\r\n", headers)
    assert answer.status == 413
    assert not echo.seen


def test_allowed_ips(gateway: RunningGateway) -> None:
    """Only addresses in allowed_ips may call, even with the right key."""
    answer = gateway.score("elsewhere", gateway.keys("elsewhere")[0])
    assert answer.status == 403
    assert "127.0.0.1 is not among the allowed_ips of elsewhere" in answer.json["detail"]
    assert gateway.score("here", gateway.keys("here")[0]).status == 200


def test_model_errors_pass(gateway: RunningGateway, key: str) -> None:
    """A document the model refuses is answered in the model's own words and status."""
    answer = gateway.score("diabetes", key, b'{"data": [[1, 2, 3]]}')
    assert answer.status == 400
    assert "row 1 of data has 3 values" in answer.json["message"]


def test_access_log(gateway: RunningGateway, key: str) -> None:
    """Each request is one JSON line that says who, what, how long and how it ended."""
    headers = JSON | {"x-request-id": "logged-7", "User-Agent": "acceptance"}
    gateway.score("diabetes", key, headers=headers)
    lines: list[dict[str, object]] = []
    gateway.until(lambda: lines.extend(one for one in gateway.access_log() if one["request_id"] == "logged-7") or lines)
    line = lines[0]
    expected = {
        "method": "POST",
        "path": AUTHORISED_PATHS[0],
        "status": 200,
        "outcome": "ok",
        "service": "diabetes",
        "slot": "primary",
        "user_agent": "acceptance",
        "request_bytes": len(ROWS),
    }
    assert {name: line[name] for name in expected} == expected
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(line["time"]))
    assert 0 < float(str(line["first_byte_ms"])) <= float(str(line["total_ms"]))
