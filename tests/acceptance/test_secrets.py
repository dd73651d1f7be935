"""No secret is where it does not belong: logs, metrics, command lines, of all gateways that these tests started.

This module runs last. Its own gateway goes through every operation that touches a secret, right and wrong.
"""

from __future__ import annotations

import urllib.parse

import pytest
from running_gateway import JSON, Evidence, RunningGateway
from wire import bearer

MARKER = "marker-that-a-log-line-has-7f3a"
SHORTEST = 12
"""Below this many characters a value would be found by chance; no secret is that short."""


def _found(evidence: Evidence, secrets: set[str]) -> list[str]:
    """Where secrets stand: the places, without repeating the secrets."""
    texts = [(str(file), file.read_text(errors="replace")) for file in evidence.files] + evidence.texts
    forms = {form for secret in secrets for form in (secret, urllib.parse.quote(secret, safe=""))}
    return [place for place, text in texts if any(form in text for form in forms)]


@pytest.fixture(scope="module")
def exercised(start_gateway, diabetes, evidence: Evidence) -> Evidence:
    """The evidence, after a gateway at its most talkative did everything with secrets, and ended."""
    services = {"diabetes": {"backends": [diabetes], "token_auth_enabled": True}}
    gateway: RunningGateway = start_gateway(services, logging={"level": "debug"})
    key, other = gateway.keys("diabetes")
    token = gateway.token("diabetes")
    for credential in (key, other, token, key[:-1], token[:-1], gateway.admin_token):
        gateway.score("diabetes", credential)
        gateway.admin("GET", "/services", credential=credential)
    _misplace(gateway, key)
    gateway.regenerate("diabetes", "Primary")
    gateway.regenerate("diabetes", "Secondary", "a-value-that-the-admin-chose-0123456789")
    gateway.admin("POST", "/services/diabetes/keys/primary/regenerate", {"value": "too short to be taken", "x": key})
    gateway.cli("keys", "show", "diabetes")
    gateway.cli("keys", "regenerate", "diabetes", "--slot", "primary", "--value-file", "-", given=f"{key}-again\n")
    evidence.secrets.add(f"{key}-again")
    gateway.score("diabetes", headers={"x-request-id": MARKER})
    assert gateway.stop() == 0
    return evidence


def _misplace(gateway: RunningGateway, key: str) -> None:
    """Put a key where it should not be: scheme forgotten, in the query, in the body, in a header of its own."""
    path = gateway.path("diabetes")
    gateway.score("diabetes", headers={"Authorization": key})
    gateway.ask("POST", f"{path}?key={key}", b"{}", JSON)
    gateway.score("diabetes", key, f'{{"data": "{key}"}}'.encode())
    gateway.ask("POST", path, b"{}", JSON | {"x-api-key": key})
    gateway.ask("GET", f"/nowhere?key={key}", headers=bearer(key))


def test_no_secret_leaks(exercised: Evidence) -> None:
    """No key, token, admin token or master key of the whole run is in a log, a metric or a command line."""
    assert len(exercised.secrets) >= 8
    assert min(map(len, exercised.secrets)) >= SHORTEST
    assert _found(exercised, exercised.secrets) == []


def test_the_search_finds_what_is_there(exercised: Evidence) -> None:
    """Control: the same search finds a marker that a request left in the access log, and words of each other place."""
    assert [place for place in _found(exercised, {MARKER}) if place.endswith("stdout.log")]
    assert [place for place in _found(exercised, {"action=regenerate_key"}) if place.endswith("stderr.log")]
    assert "metrics" in _found(exercised, {"scoregate_requests_total"})
    assert "command line" in _found(exercised, {"gateway serve"})
    assert "argv" in _found(exercised, {"keys regenerate"})
