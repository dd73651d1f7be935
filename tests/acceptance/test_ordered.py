"""The sentence this product was ordered with, clause by clause; other modules here go into the depth of each."""

from __future__ import annotations

import json
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from running_gateway import JSON, ROWS, SCORES, RunningGateway
from wire import bearer, spoken

from gateway.client import NotAllowedError, Webservice, Workspace

PAGE = "https://app.example.com"


@pytest.fixture(scope="module")
def containers(start_backend):
    return [start_backend(), start_backend()]


@pytest.fixture(scope="module")
def gateway(start_gateway, containers, diabetes) -> RunningGateway:
    return start_gateway(
        {
            "diabetes": {"backends": [diabetes], "token_auth_enabled": True, "cors": {"allowed_origins": [PAGE]}},
            "spread": {"backends": [one.url for one in containers], "max_concurrent_requests_per_container": None},
            "limited": {
                "backends": [containers[0].url],
                "rate_limits": [{"name": "few", "requests": 5, "per_seconds": 3600}],
            },
        }
    )


def test_aiohttp_serves_what_operators_call(gateway: RunningGateway) -> None:
    """The admin API runs on aiohttp, as ordered; it says so itself where a server names what it is."""
    answer = gateway.admin("GET", "/services")
    assert answer.status == 200
    assert "aiohttp/" in answer.headers["server"]


def test_tls_1_2_is_terminated(gateway: RunningGateway, containers) -> None:
    """A client that speaks TLS 1.2 and no more is served; the container behind hears plain HTTP."""
    only_1_2 = ssl.create_default_context(cafile=gateway.ready["ca_file"])
    only_1_2.maximum_version = ssl.TLSVersion.TLSv1_2
    with gateway.wire(context=only_1_2) as wire:
        assert wire.tls.version() == "TLSv1.2"
        headers = JSON | bearer(gateway.keys("spread")[0]) | {"x-ms-client-request-id": "over-tls-1-2"}
        assert wire.ask("POST", gateway.path("spread"), ROWS, headers).status == 200
    received = [seen for one in containers for seen in one.seen if seen.headers.get("x-forwarded-proto") == "https"]
    assert any(seen.headers["x-ms-client-request-id"] == "over-tls-1-2" for seen in received)


def test_primary_and_secondary_key_rotation(gateway: RunningGateway) -> None:
    """Callers move to the secondary key, the primary is replaced, callers move back: no request is ever refused."""
    primary, secondary = gateway.keys("diabetes")
    assert gateway.score("diabetes", primary).json == SCORES
    assert gateway.score("diabetes", secondary).json == SCORES
    fresh = gateway.regenerate("diabetes", "Primary")
    assert gateway.score("diabetes", primary).status == 401
    assert gateway.score("diabetes", secondary).json == SCORES
    assert gateway.score("diabetes", fresh).json == SCORES


def test_token_issuance_with_refresh_by(gateway: RunningGateway) -> None:
    """A token opens the service it was issued for, names the time to ask for the next, and outlives that time."""
    issued = gateway.admin("POST", "/services/diabetes/token", {}).json
    gateway.evidence.secrets.add(issued["token"])
    refresh_by, expires_at = (datetime.fromisoformat(issued[name]) for name in ("refresh_by", "expires_at"))
    now = datetime.now(UTC)
    assert now < refresh_by < expires_at
    assert refresh_by - now == pytest.approx(timedelta(hours=12), abs=timedelta(minutes=1))
    assert gateway.score("diabetes", issued["token"]).json == SCORES


def test_cors(gateway: RunningGateway) -> None:
    """A page of the allowed origin may score; the answer to its preflight and to its request says so."""
    status, fields, _ = spoken(
        gateway.ready["scoring_url"],
        gateway.ready["ca_file"],
        [
            f"OPTIONS {gateway.path('diabetes')} HTTP/1.1",
            "Host: localhost",
            f"Origin: {PAGE}",
            "Access-Control-Request-Method: POST",
        ],
    )
    assert status == "HTTP/1.1 204 No Content"
    assert f"access-control-allow-origin: {PAGE}" in fields
    answer = gateway.score("diabetes", gateway.keys("diabetes")[0], headers={"Origin": PAGE})
    assert (answer.json, answer.headers["access-control-allow-origin"]) == (SCORES, PAGE)


def test_rate_limit(gateway: RunningGateway) -> None:
    """Five requests an hour are five, whichever worker they meet; the sixth is told when to come back."""
    key = gateway.keys("limited")[0]
    answers = [gateway.score("limited", key) for _ in range(12)]
    assert [answer.status for answer in answers] == [200] * 5 + [429] * 7
    refusal = answers[-1]
    assert refusal.json["violated-policies"] == ["few"]
    assert refusal.headers["ratelimit-policy"] == '"few";q=5;w=3600'
    assert 0 < int(refusal.headers["retry-after"]) <= 720


def test_scoring_requests_reach_backend_containers(gateway: RunningGateway, containers) -> None:
    """Requests are spread over the containers, each body untouched, the credential taken off before."""
    for one in containers:
        one.seen.clear()
    key = gateway.keys("spread")[0]
    bodies = [json.dumps({"data": [[number]]}).encode() for number in range(20)]
    assert [gateway.score("spread", key, body).body for body in bodies] == bodies
    seen = [one.seen for one in containers]
    assert sorted(request.body for one in seen for request in one) == sorted(bodies)
    assert min(map(len, seen)) >= 5
    assert {request.path for one in seen for request in one} == {"/score"}
    assert not [request for one in seen for request in one if "authorization" in request.headers]


def test_front_door_for_aks_like_clusters(gateway: RunningGateway) -> None:
    """A service behaves as one on AKS does: key on and token off by default, `Healthy` at /, probes for the kubelet."""
    service = gateway.service("spread")
    assert (service.document["compute_type"], service.auth_enabled, service.token_auth_enabled) == ("AKS", True, False)
    assert service.scoring_uri.endswith("/api/v1/service/spread/score")
    assert gateway.ask("GET", "/").text == "Healthy"
    assert [gateway.ask("GET", path).status for path in ("/livez", "/readyz")] == [200, 200]


def test_key_regeneration_by_admins(gateway: RunningGateway) -> None:
    """Admins regenerate keys by SDK, command line and API; whoever has only a scoring key may not."""
    by_sdk = gateway.regenerate("diabetes", "Secondary")
    assert gateway.score("diabetes", by_sdk).json == SCORES
    done = gateway.cli("keys", "regenerate", "diabetes", "--slot", "secondary", "-o", "json")
    by_cli = json.loads(done.stdout)["value"]
    by_api = gateway.admin("POST", "/services/diabetes/keys/secondary/regenerate").json
    gateway.evidence.secrets.update({by_cli, by_api["value"]})
    assert by_api["acknowledged"]["workers"] == 2
    assert [gateway.score("diabetes", key).status for key in (by_sdk, by_cli, by_api["value"])] == [401, 401, 200]

    caller = Workspace(gateway.ready["admin_url"], by_api["value"], gateway.ready["ca_file"])
    with caller, pytest.raises(NotAllowedError):
        Webservice(caller, "diabetes", document={"name": "diabetes"}).regen_key("Primary")


def test_metrics_scraping(gateway: RunningGateway) -> None:
    """The metrics page counts by service and status what was just sent."""
    before = gateway.metrics()
    key = gateway.keys("diabetes")[0]
    statuses = [gateway.score("diabetes", credential).status for credential in (key, key, "wrong")]
    after = gateway.metrics()

    def grown(*series: str) -> float:
        return after[series] - before.get(series, 0.0)

    assert statuses == [200, 200, 401]
    assert grown("scoregate_requests_total", "diabetes", "200") == 2
    assert grown("scoregate_requests_total", "diabetes", "401") == 1
    assert grown("scoregate_refusals_total", "wrong_key", "diabetes") == 1
    assert grown("scoregate_key_uses_total", "diabetes", "primary") == 2
    assert grown("scoregate_request_duration_seconds_count", "diabetes", "200") == 2
