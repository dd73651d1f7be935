"""Pages of other origins, told by the raw requests a browser would send (Fetch standard)."""

from __future__ import annotations

import json

import pytest
from running_gateway import ROWS, SCORES, RunningGateway
from wire import spoken

PAGE = "https://app.example.com"
OTHERS = [
    "https://evil.example.com",
    "http://app.example.com",
    "https://app.example.com:8443",
    "https://app.example.com.evil.example",
    "https://sub.app.example.com",
    "null",
]


@pytest.fixture(scope="module")
def gateway(start_gateway, diabetes) -> RunningGateway:
    return start_gateway(
        {
            "paged": {"backends": [diabetes], "cors": {"allowed_origins": [PAGE]}},
            "shut": {"backends": [diabetes]},
        }
    )


def _say(gateway: RunningGateway, lines: list[str], body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
    status, fields, received = spoken(gateway.ready["scoring_url"], gateway.ready["ca_file"], lines, body)
    headers: dict[str, str] = {}
    for name, _, value in (field.partition(": ") for field in fields):
        headers[name.lower()] = f"{headers[name.lower()]}, {value}" if name.lower() in headers else value
    return int(status.split()[1]), headers, received


def _preflight(gateway: RunningGateway, service: str, origin: str) -> tuple[int, dict[str, str], bytes]:
    return _say(
        gateway,
        [
            f"OPTIONS {gateway.path(service)} HTTP/1.1",
            "Host: localhost",
            f"Origin: {origin}",
            "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: authorization,content-type",
        ],
    )


def _score(gateway: RunningGateway, service: str, origin: str, key: str) -> tuple[int, dict[str, str], bytes]:
    return _say(
        gateway,
        [
            f"POST {gateway.path(service)} HTTP/1.1",
            "Host: localhost",
            f"Origin: {origin}",
            f"Authorization: Bearer {key}",
            "Content-Type: application/json",
            f"Content-Length: {len(ROWS)}",
        ],
        ROWS,
    )


def _varies_by_origin(headers: dict[str, str]) -> bool:
    return "origin" in [name.strip().lower() for name in headers["vary"].split(",")]


def test_allowed_origin_may_score(gateway: RunningGateway) -> None:
    """The preflight, without a credential, allows what the page asks; the score is then readable to it."""
    status, headers, body = _preflight(gateway, "paged", PAGE)
    assert (status, body) == (204, b"")
    assert headers["access-control-allow-origin"] == PAGE
    assert "POST" in headers["access-control-allow-methods"]
    assert {"authorization", "content-type"} <= set(headers["access-control-allow-headers"].lower().split(", "))
    assert headers["access-control-max-age"] == "600"
    assert _varies_by_origin(headers)

    status, headers, body = _score(gateway, "paged", PAGE, gateway.keys("paged")[0])
    assert (status, json.loads(body)) == (200, SCORES)
    assert headers["access-control-allow-origin"] == PAGE
    assert headers["access-control-expose-headers"] == "x-request-id"
    assert _varies_by_origin(headers)


@pytest.mark.parametrize("origin", OTHERS)
def test_other_origins_may_not(gateway: RunningGateway, origin: str) -> None:
    """No other origin is allowed anything, however much its name resembles; caches are told that origins matter."""
    preflight = _preflight(gateway, "paged", origin)
    score = _score(gateway, "paged", origin, gateway.keys("paged")[0])
    for _, headers, _ in (preflight, score):
        assert not [name for name in headers if name.startswith("access-control-")]
        assert _varies_by_origin(headers)
    assert preflight[0] == 403


def test_errors_are_readable(gateway: RunningGateway) -> None:
    """A page of the allowed origin can read why it was refused, and under which id."""
    status, headers, body = _score(gateway, "paged", PAGE, "wrong")
    assert status == 401
    assert headers["access-control-allow-origin"] == PAGE
    assert json.loads(body)["detail"]
    assert "x-request-id" in headers["access-control-expose-headers"]


def test_without_a_cors_section_nothing_is_allowed(gateway: RunningGateway) -> None:
    """A service that says nothing of CORS answers no preflight, and its scores carry no permission."""
    status, headers, _ = _preflight(gateway, "shut", PAGE)
    assert status == 401
    assert not [name for name in headers if name.startswith("access-control-")]
    status, headers, _ = _score(gateway, "shut", PAGE, gateway.keys("shut")[0])
    assert status == 200
    assert not [name for name in headers if name.startswith("access-control-")]


def test_other_options_are_ordinary_requests(gateway: RunningGateway) -> None:
    """OPTIONS without the preflight's fields is no preflight: it needs a credential."""
    lines = [f"OPTIONS {gateway.path('paged')} HTTP/1.1", "Host: localhost", f"Origin: {PAGE}"]
    assert _say(gateway, lines)[0] == 401
