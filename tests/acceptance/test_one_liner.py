"""`scoregate serve --backend URL`: TLS, keys and tokens before what already runs, without a file."""

from __future__ import annotations

import json

import pytest
from running_gateway import ROWS, SCORES, RunningGateway

PORTS = {f"SCOREGATE__{section}__LISTEN": "127.0.0.1:0" for section in ("SCORING", "ADMIN", "METRICS")}


@pytest.fixture(scope="module")
def gateway(start_gateway, diabetes) -> RunningGateway:
    environ = PORTS | {"SCOREGATE__SCORING__DRAIN_SECONDS": "1", "SCOREGATE__SCORING__WORKERS": "1"}
    return start_gateway(arguments=["--backend", diabetes, "--name", "mine"], environ=environ)


def test_keys_and_score(gateway: RunningGateway) -> None:
    """In the folder where it runs, `keys show` gives both keys and `score` the answer, with nothing configured."""
    keys = json.loads(gateway.cli("keys", "show", "mine", "-o", "json").stdout)
    gateway.evidence.secrets |= {keys["primary_key"], keys["secondary_key"]}
    assert gateway.score("mine", keys["primary_key"]).json == SCORES
    assert gateway.score("mine", keys["secondary_key"]).json == SCORES
    done = gateway.cli("score", "mine", "--data", ROWS.decode())
    assert (done.returncode, json.loads(done.stdout)) == (0, SCORES), done.stderr


def test_tokens_are_on(gateway: RunningGateway) -> None:
    """A token opens it, too."""
    issued = json.loads(gateway.cli("token", "issue", "mine", "-o", "json").stdout)
    gateway.evidence.secrets.add(issued["token"])
    assert gateway.score("mine", issued["token"]).json == SCORES


def test_nothing_opens_it_without(gateway: RunningGateway) -> None:
    """Control: without a credential, and with a wrong one, the door is shut."""
    assert [gateway.score("mine", credential).status for credential in (None, "wrong")] == [401, 401]


def test_everything_is_in_var(gateway: RunningGateway) -> None:
    """What it makes for itself is under ./var, and its secrets are this user's alone."""
    var = gateway.folder / "var"
    assert {"admin-token", "master.key", "gateway.db", "tls", "ready.json"} <= {file.name for file in var.iterdir()}
    for secret in ("admin-token", "master.key", "tls/server.key", "tls/ca.key"):
        assert (var / secret).stat().st_mode & 0o777 == 0o600
