"""The audit log through the admin API: every change, every key shown, every attempt refused; and no secret."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from yarl import URL

sys.path.insert(0, str(Path(__file__).parent))

from operation_requests import BODIES, CLOSED, make_services, path

from gateway.control.api.openapi import document
from gateway.core.audit import AuditEntry
from gateway.core.settings import AdminSettings

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
CHANGES = [operation for operation in CLOSED if operation.mutates]


async def do(api, operation, **options):
    return await api.client.request(
        operation.method, path(operation), json=BODIES.get(operation.id), headers=api.headers, **options
    )


def since(api, before: int) -> list[AuditEntry]:
    return api.rig.store.entries[before:]


@pytest.mark.parametrize("operation", CHANGES, ids=lambda operation: operation.id)
async def test_every_change_leaves_its_entry(api, operation) -> None:
    """Exactly one: who, what, from where, which service, done. A new operation that leaves none fails here."""
    await make_services(api, "diabetes")
    before = len(api.rig.store.entries)
    assert (await do(api, operation)).status < 300
    (entry,) = since(api, before)
    assert (entry.actor, entry.address, entry.action, entry.result) == ("admin", "127.0.0.1", operation.id, "done")
    assert entry.service == ("diabetes" if "{name}" in operation.path else "")


@pytest.mark.parametrize("operation", CHANGES, ids=lambda operation: operation.id)
async def test_no_change_without_its_entry(api, operation, monkeypatch) -> None:
    """When the entry cannot be written, nothing is changed, and the answer is not that it was."""
    await make_services(api, "diabetes")
    store = api.rig.store
    before = {name: dict(value) for name, value in vars(store).items() if isinstance(value, dict)}
    attempts = []

    def audited(entry: AuditEntry):
        attempts.append(entry)
        return Broken()

    class Broken:
        def __getattr__(self, name):
            store.broken = True
            return getattr(store, name)

    monkeypatch.setattr(store, "audited", audited)
    monkeypatch.setattr(store, "add_audit", lambda _: Broken().ping())
    assert (await do(api, operation)).status == 503
    store.broken = False
    assert {name: dict(value) for name, value in vars(store).items() if isinstance(value, dict)} == before
    assert len(attempts) <= 1


async def test_what_changes_nothing_leaves_nothing(api, block) -> None:
    """A change that is refused for what it asks, and a read, are no entries."""
    await make_services(api, "diabetes")
    before = len(api.rig.store.entries)
    assert (await api("PUT", "/services/diabetes", {**block, "colour": 1})).status == 400
    assert (await api("DELETE", "/services/nothing")).status == 404
    assert (await api("DELETE", "/services/diabetes", headers={"If-Match": '"0"'})).status == 412
    for wanted in ("/services", "/services/diabetes", "/services/diabetes/status", "/audit", "/signing-keys"):
        assert (await api("GET", wanted)).status == 200
    assert since(api, before) == []


async def test_targets(api) -> None:
    """The slot and the new key's public id; the caller; the token's id; the signing key: never a value."""
    await make_services(api, "diabetes")
    before = len(api.rig.store.entries)
    made = await (await api("POST", "/services/diabetes/keys/primary/regenerate", {})).json()
    await api("POST", "/services/diabetes/callers", {"name": "bank-b"})
    await api("POST", "/services/diabetes/token", {})
    targets = [entry.target for entry in since(api, before)]
    assert targets[:2] == [f"primary {made['id']}", "bank-b"]
    assert len(targets[2]) >= 16


async def test_an_idempotent_repetition_is_no_second_change(api) -> None:
    """What is answered from memory was told already."""
    await make_services(api, "diabetes")
    before = len(api.rig.store.entries)
    for _ in range(3):
        await api("POST", "/services/diabetes/keys/primary/regenerate", {}, headers={"Idempotency-Key": "one"})
    assert len(since(api, before)) == 1


async def test_keys_that_are_shown(api) -> None:
    """The first time is told before it is answered; those after it within ten minutes are counted."""
    await make_services(api, "diabetes", "adult")
    before = len(api.rig.store.entries)
    for _ in range(20):
        assert (await api("GET", "/services/diabetes/keys")).status == 200
    await api("GET", "/services/adult/keys")
    assert [(one.action, one.service) for one in since(api, before)] == [
        ("get_keys", "diabetes"),
        ("get_keys", "adult"),
    ]
    await api.rig.audit.close()
    assert since(api, before)[-1].result == "done, 19 more times since"


async def test_refused_attempts(make_api) -> None:
    """401, 403 and 429 with what was attempted and from where; only names that can be names are repeated."""
    api = await make_api(admin=AdminSettings(reveal_keys="never", max_auth_failures_per_minute=2))
    await make_services(api, "diabetes")
    before = len(api.rig.store.entries)
    wrong = {"Authorization": "Bearer wrong"}
    secret = "sg1_" + "S" * 42
    await api("GET", "/services/diabetes/keys")
    await api.client.get("/v1/services/diabetes", headers={})
    await api.client.get(f"/v1/services/{secret}", headers=wrong)
    await api.client.post(f"/v1/services/diabetes/keys/{secret}%20/regenerate", headers=wrong)
    for _ in range(3):
        await api.client.get("/v1/nothing", headers=wrong)
    await api.rig.audit._flush(0.0)
    told = [(one.actor, one.action, one.service, one.target, one.result) for one in since(api, before)]
    assert told == [
        ("admin", "get_keys", "diabetes", "", "403"),
        ("-", "get_service", "diabetes", "", "401"),
        ("-", "get_service", "", "", "401"),
        ("-", "regenerate_key", "diabetes", "", "401"),
        ("-", "-", "", "", "429"),
    ]


async def test_no_secret_in_it(api) -> None:
    """After everything was done, none of the values that were answered stands in the log, nor the admin token."""
    await make_services(api, "diabetes")
    texts = []
    for operation in [*CHANGES, *(one for one in CLOSED if not one.mutates)]:
        await make_services(api, "diabetes")
        texts.append(await (await do(api, operation)).text())
    secrets = {word for text in texts for word in text.split('"') if word.startswith(("sg1_", "eyJ"))}
    assert len(secrets) >= 6
    log = await (await api("GET", "/audit?limit=1000")).text()
    assert not [secret for secret in (*secrets, api.headers["Authorization"].split()[1]) if secret in log]
    assert "regenerate_key" in log


async def test_pages(api) -> None:
    """Oldest first, as many as asked for, `next` until the end; or the newest; by service, actor and action."""
    api.rig.store.entries.clear()
    one = AuditEntry(at=NOON, actor="admin", action="a")
    api.rig.store.add_audit([replace(one, service="s" if number % 2 else "t") for number in range(7)])

    async def page(query: str):
        return await (await api("GET", f"/audit{query}")).json()

    first = await page("?limit=3")
    assert [entry["id"] for entry in first["value"]] == [1, 2, 3]
    second = await (await api.client.get(URL(first["next"]).relative(), headers=api.headers)).json()
    assert [entry["id"] for entry in second["value"]] == [4, 5, 6]
    third = await (await api.client.get(URL(second["next"]).relative(), headers=api.headers)).json()
    assert [entry["id"] for entry in third["value"]] == [7]
    assert "next" not in third
    assert [entry["id"] for entry in (await page("?newest=2"))["value"]] == [6, 7]
    assert [entry["id"] for entry in (await page("?service=s&actor=admin&action=a"))["value"]] == [2, 4, 6]
    assert (await page("?actor=nobody"))["value"] == []
    assert set(first["value"][0]) == {"id", "at", "actor", "from", "action", "service", "target", "result"}


@pytest.mark.parametrize(
    "query", ["?after=x", "?limit=0", "?limit=1001", "?newest=0", "?after=-1", "?before=1", "?limit="]
)
async def test_bad_queries(api, query: str) -> None:
    """A parameter that is unknown or does not fit is named."""
    answer = await api("GET", f"/audit{query}")
    assert answer.status == 400
    assert (await answer.json())["errors"][0]["path"] == query[1:].partition("=")[0]


async def test_the_store_is_away(api) -> None:
    """The log cannot be read without its store; that is told."""
    api.rig.store.broken = True
    assert (await api("GET", "/audit")).status == 503


async def test_changes_at_once(api) -> None:
    """Changes that come together leave an entry each."""
    await make_services(api, "diabetes")
    before = len(api.rig.store.entries)
    path_of = "/services/diabetes/keys/{}/regenerate"
    await asyncio.gather(*(api("POST", path_of.format(slot), {}) for slot in ("primary", "secondary") * 5))
    assert len(since(api, before)) == 10


def test_it_is_described() -> None:
    """The operation stands in the OpenAPI document with its parameters."""
    described = document()["paths"]["/v1/audit"]["get"]
    assert [one["name"] for one in described["parameters"]] == [
        "limit",
        "after",
        "newest",
        "actor",
        "service",
        "action",
    ]
    assert json.dumps(described["responses"]["200"]).count("AuditPage")
