"""What a client's author asks the SDK: which services there are, where they are, what opens them, for how long."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from running_gateway import ROWS, SCORES, RunningGateway

from gateway.client import Webservice, WebserviceNotFound, Workspace

TOKENS = {"refresh_after_seconds": 1, "lifetime_seconds": 60}


@pytest.fixture(scope="module")
def gateway(start_gateway, diabetes) -> RunningGateway:
    services = {
        "diabetes": {"backends": [diabetes], "tags": {"team": "risk", "stage": "live"}, "token_auth_enabled": True},
        "trial": {"backends": [diabetes], "tags": {"team": "risk"}, "compute_type": "ACI"},
        "by-token": {"backends": [diabetes], "auth_enabled": False, "token_auth_enabled": True},
    }
    return start_gateway(services, tokens=TOKENS)


def test_from_a_deployment(gateway: RunningGateway, diabetes: str) -> None:
    """Creating a service gives an object that waits until it is healthy, and knows its addresses and its keys."""
    service = Webservice.create(gateway.workspace, "fresh", backends=[diabetes])
    service.wait_for_deployment(show_output=False, timeout_seconds=20)
    assert service.state == "Healthy"
    assert service.scoring_uri == gateway.ready["scoring_url"] + gateway.path("fresh")
    assert service.swagger_uri == gateway.ready["scoring_url"] + gateway.path("fresh", "swagger.json")
    primary, secondary = gateway.keys("fresh")
    assert primary != secondary
    assert gateway.score("fresh", primary).json == SCORES
    service.delete()
    with pytest.raises(WebserviceNotFound):
        Webservice(gateway.workspace, "fresh")


def test_from_a_list(gateway: RunningGateway) -> None:
    """The services of a gateway are listed, and the list is narrowed by tags and by compute type."""

    def names(**narrowed: object) -> list[str]:
        return sorted(service.name for service in Webservice.list(gateway.workspace, **narrowed))

    assert names() == ["by-token", "diabetes", "trial"]
    assert names(tags={"team": "risk"}) == ["diabetes", "trial"]
    assert names(tags={"team": "risk", "stage": "live"}) == ["diabetes"]
    assert names(tags={"team": "sales"}) == []
    assert names(compute_type="ACI") == ["trial"]


def test_by_name(gateway: RunningGateway) -> None:
    """An object made from workspace and name knows whether keys and tokens open the service, and where it is."""
    service = Webservice(workspace=gateway.workspace, name="diabetes")
    assert (service.auth_enabled, service.token_auth_enabled) == (True, True)
    assert service.tags == {"team": "risk", "stage": "live"}
    assert service.scoring_uri == gateway.ready["services"]["diabetes"]["scoring_uri"]
    assert service.swagger_uri == gateway.ready["services"]["diabetes"]["swagger_uri"]


def test_from_the_environment(gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program finds the gateway by three variables, none of which holds a secret."""
    monkeypatch.setenv("SCOREGATE_ADMIN_URL", gateway.ready["admin_url"])
    monkeypatch.setenv("SCOREGATE_ADMIN_TOKEN_FILE", gateway.ready["admin_token_file"])
    monkeypatch.setenv("SCOREGATE_CA_FILE", gateway.ready["ca_file"])
    with Workspace.from_environment() as workspace:
        assert Webservice(workspace, "diabetes").run(ROWS) == SCORES


def test_get_keys_and_get_token(gateway: RunningGateway) -> None:
    """get_keys gives primary and secondary; get_token a token and an aware time, after which another is asked for."""
    service = gateway.service("diabetes")
    assert service.get_keys() == gateway.keys("diabetes")
    token, refresh_by = service.get_token()
    gateway.evidence.secrets.add(token)
    assert refresh_by.utcoffset() is not None
    assert (refresh_by - datetime.now(UTC)).total_seconds() == pytest.approx(1, abs=1)
    assert gateway.score("diabetes", token).json == SCORES


def _issued(gateway: RunningGateway) -> int:
    return sum("action=issue_token service=by-token" in line["message"] for line in gateway.log())


def test_a_new_token_after_refresh_by(gateway: RunningGateway) -> None:
    """The SDK scores with one token until its refresh_by, and asks for another after it; the old one still opens."""
    service = gateway.service("by-token")
    token, refresh_by = service.get_token()
    gateway.evidence.secrets.add(token)
    before = _issued(gateway)
    assert service.run(ROWS) == SCORES
    if datetime.now(UTC) < refresh_by:
        assert _issued(gateway) == before
    time.sleep(max(0.0, (refresh_by - datetime.now(UTC)).total_seconds()))
    assert service.run(ROWS) == SCORES
    assert _issued(gateway) == before + 1
    assert gateway.score("by-token", token).json == SCORES
