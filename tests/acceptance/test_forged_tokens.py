"""Forged tokens against a gateway that runs: whoever has its private key bends tokens at will, and opens nothing."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from running_gateway import JSON, RunningGateway
from wire import bearer

from gateway.control import founding
from gateway.control.keyring import Keyring
from gateway.core.settings import Settings
from gateway.store import open_store

sys.path.insert(0, str(Path(__file__).parent.parent / "forged"))
from attacks import attacks
from forger import Forger

MS = 0.010
"""What a refusal may take (seconds)."""


@pytest.fixture(scope="module")
def gateway(start_gateway, start_backend) -> RunningGateway:
    block = {"backends": [start_backend().url], "auth_enabled": False, "token_auth_enabled": True}
    failures = {"max_auth_failures_per_minute": 0}
    return start_gateway({"scored": block, "other": block}, scoring=failures)


@pytest.fixture(scope="module")
def forger(gateway: RunningGateway) -> Forger:
    """Knows the key that signs: read with the master key out of the gateway's own store."""
    settings = replace(Settings(), data_dir=gateway.folder / "var")
    store = open_store(f"sqlite:///{gateway.folder}/var/gateway.db")
    foundation = founding.found(settings, store, datetime.now(UTC))
    (record,) = [one for one in store.signing_keys() if one.state == "active"]
    key = Keyring(foundation.vault, foundation.digest_key).signing_key(record)
    store.close()
    issuer = founding.trust(settings, foundation).issuer
    return Forger(key, issuer=issuer, service="scored", now=int(time.time()) + 2)


def sendable(token: bytes) -> str | None:
    """As a header field carries it; None for what no client could put into one."""
    text = token.decode("latin-1")
    return text if text.strip() == text and text.isprintable() and text.isascii() else None


def test_no_forged_token_opens(gateway: RunningGateway, forger: Forger) -> None:
    """Over TLS, one connection after another: 401 with the challenge of RFC 6750; the good one opens all the same."""
    other = gateway.admin("POST", "/services/other/token").json["token"].encode()
    tried = 0
    for name, token in (attacks(forger) | {"another service's": other}).items():
        text = sendable(token)
        if text is None:
            continue
        tried += 1
        answer = gateway.score("scored", text)
        assert answer.status == 401, name
        assert answer.headers["www-authenticate"].startswith('Bearer realm="scoregate", error="invalid_token"'), name
        assert answer.json["stage"] == "authenticate"
    assert tried > 140
    answer = gateway.score("scored", forger.good.decode())
    assert answer.status == 200, answer.text


@pytest.mark.prove
def test_a_refusal_is_quick(gateway: RunningGateway, forger: Forger) -> None:
    """Each attack is refused in less than 10 ms, seen by the client on a kept connection; the best of five."""
    with gateway.wire() as wire:
        for name, token in attacks(forger).items():
            text = sendable(token)
            if text is None:
                continue
            spent = []
            for _ in range(5):
                began = time.perf_counter()
                assert wire.ask("POST", gateway.path("scored"), b"{}", JSON | bearer(text)).status == 401
                spent.append(time.perf_counter() - began)
            assert min(spent) < MS, name
