"""Admins at a real gateway: by single sign-on, by the bootstrap token; neither side's credential opens the other."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_gateway import RunningGateway

sys.path.insert(0, str(Path(__file__).parents[1] / "control"))

from oidc_provider import AUDIENCE, OidcProvider

SERVICES = {
    "keyed": {},
    "tokened": {"auth_enabled": False, "token_auth_enabled": True},
    "both": {"token_auth_enabled": True},
}


class Provider:
    """The provider of the tests on a loop of its own, in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.real: OidcProvider = self._do(self._started())

    def token(self, *roles: str, **claims: object) -> str:
        return self.real.token(*roles, **claims)

    def stop(self) -> None:
        self._do(self.real.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _started(self) -> OidcProvider:
        return await OidcProvider().start()

    def _do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    running = Provider()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def gateway(start_gateway, start_backend, provider: Provider) -> RunningGateway:
    backend = start_backend()
    oidc = {
        "issuer": provider.real.issuer,
        "audience": AUDIENCE,
        "roles": {"owner": ["ml"], "contributor": ["{service}:contributor"], "reader": ["health on both"]},
    }
    services = {name: {"backends": [backend.url]} | doors for name, doors in SERVICES.items()}
    return start_gateway(services, admin={"oidc": oidc})


def test_a_scoring_credential_never_opens_the_admin_api(gateway) -> None:
    """Keys and tokens of every service, at reads, changes and the portal."""
    credentials = [*gateway.keys("keyed"), *gateway.keys("both"), gateway.token("both"), gateway.token("tokened")]
    for credential in credentials:
        for method, path in (("GET", "/services"), ("GET", "/services/both/keys"), ("POST", "/services/both/token")):
            assert gateway.admin(method, path, credential=credential).status == 401
    assert {entry["result"] for entry in _audit(gateway, "get_keys") if entry["actor"] == "-"} == {"401"}


def test_an_admin_credential_never_opens_the_scoring_port(gateway, provider) -> None:
    """The bootstrap token and an owner's OIDC token, at services of every kind of door."""
    for credential in (gateway.admin_token, provider.token("ml")):
        gateway.evidence.secrets.add(credential)
        for service in SERVICES:
            assert gateway.score(service, credential, b"{}").status == 401


def test_control_each_credential_opens_its_own_side(gateway, provider) -> None:
    """The same requests with the right credentials get in: the two tests above do not pass because nothing works."""
    assert gateway.score("keyed", gateway.keys("keyed")[0], b"{}").status == 200
    assert gateway.score("tokened", gateway.token("tokened"), b"{}").status == 200
    for credential in (gateway.admin_token, provider.token("ml")):
        assert gateway.admin("GET", "/services/both/keys", credential=credential).status == 200


def test_single_sign_on(gateway, provider) -> None:
    """Roles for one service, by group and by the form of the value; the scoring token of one who signed on opens."""
    contributor, reader = provider.token("both:contributor", sub="bob"), provider.token("health", sub="eve")
    assert gateway.admin("GET", "/services/both/keys", credential=contributor).status == 200
    assert gateway.admin("GET", "/services/keyed/keys", credential=contributor).status == 403
    listed = gateway.admin("GET", "/services", credential=reader).json["value"]
    assert [service["name"] for service in listed] == ["both"]
    token = gateway.admin("POST", "/services/both/token", {}, credential=contributor).json["token"]
    gateway.evidence.secrets |= {contributor, reader, token}
    assert gateway.score("both", token, b"{}").status == 200
    assert gateway.admin("GET", "/services", credential=provider.token("ml", exp=int(time.time()) - 60)).status == 401


def test_the_command_line_reads_and_exports_the_audit_log(gateway, provider) -> None:
    """`scoregate audit` shows who did what; its export is JSON lines; no secret of this run stands in it."""
    gateway.regenerate("both", "Primary")
    shown = gateway.cli("audit", "--newest", "1", "--service", "both", "--action", "regenerate_key")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines()[1].split()[2:6] == ["admin", "127.0.0.1", "regenerate_key", "both"]
    exported = gateway.cli("audit", "--export", "audit.jsonl")
    assert exported.returncode == 0, exported.stderr
    lines = (gateway.folder / "audit.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    assert [entry["id"] for entry in entries] == list(range(1, len(entries) + 1))
    assert {"start", "put_service", "regenerate_key"} <= {entry["action"] for entry in entries}
    assert {"admin", "configuration", "gateway"} <= {entry["actor"] for entry in entries}
    text = "\n".join(lines)
    gateway.evidence.texts.append(("audit log", text))
    assert not [secret for secret in gateway.evidence.secrets if secret in text]


def test_another_bootstrap_token(gateway) -> None:
    """The file is replaced: within seconds its new token opens, and the old one does not."""
    path = Path(gateway.ready["admin_token_file"])
    old, new = gateway.admin_token, "sga_" + "n" * 40
    gateway.evidence.secrets |= {old, new}
    scratch = path.with_name("scratch")
    scratch.write_text(new + "\n")
    scratch.chmod(0o600)
    scratch.replace(path)
    gateway.until(lambda: gateway.admin("GET", "/services", credential=new).status == 200)
    assert gateway.admin("GET", "/services", credential=old).status == 401
    gateway.until(lambda: gateway.admin("GET", "/audit?action=replace_admin_token", credential=new).json["value"])
    back = path.with_name("scratch")
    back.write_text(old + "\n")
    back.chmod(0o600)
    back.replace(path)
    gateway.until(lambda: gateway.admin("GET", "/services", credential=old).status == 200)


def _audit(gateway: RunningGateway, action: str) -> list[dict[str, str]]:
    """Its entries, once one of them tells of a refusal: those are written within a second."""
    found: list[dict[str, str]] = []

    def read() -> bool:
        found[:] = gateway.admin("GET", f"/audit?limit=1000&action={action}").json["value"]
        return any(entry["result"] == "401" for entry in found)

    gateway.until(read)
    return found
