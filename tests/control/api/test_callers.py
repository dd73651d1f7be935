"""Named callers over the API: what each operation answers, and what workers and store then have."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from yarl import URL

from gateway.control import caller
from gateway.control.link import Link
from gateway.control.peer import Peer
from gateway.core import key
from gateway.core.caller import CallerSpec
from gateway.core.record import KeyUseRecord
from gateway.core.settings import AdminSettings

CALLERS = "/services/diabetes/callers"


@pytest.fixture
async def diabetes(api):
    """An API with a service, and one worker."""
    await api.put()
    return api


async def create(api: Any, name: str = "acme", **fields: Any) -> dict[str, Any]:
    answer = await api("POST", CALLERS, {"name": name, **fields})
    assert answer.status == 201, await answer.text()
    return await answer.json()


def worker_of(api: Any) -> Any:
    return api.rig.workers["a"]


def opens(api: Any, value: str, name: str = "acme") -> bool:
    """Whether a worker knows this value as a key of the caller."""
    entry = worker_of(api).callers.get("diabetes", {}).get(name)
    digest = key.digest(api.rig.tokens.keys.trust.digest_key, value.encode())
    return entry is not None and digest in (entry.digest, entry.former and entry.former.digest)


async def test_a_caller_gets_a_key(diabetes) -> None:
    """201 with the key, when every worker has its digest; the store has it sealed."""
    answer = await diabetes("POST", CALLERS, {"name": "acme"})
    document = await answer.json()
    assert (answer.status, answer.headers["Location"]) == (201, "/v1/services/diabetes/callers/acme")
    assert document["key"].startswith("sg1_")
    assert document["acknowledged"] == {"workers": 1, "replicas": 1, "of": 1}
    assert document | {"verbs": ["score", "batch", "swagger"], "rate_limits": [], "expires_at": None} == document
    assert opens(diabetes, document["key"])
    [record] = diabetes.rig.store.callers()
    assert (record.name, record.id, document["key"] in repr(record)) == ("acme", document["id"], False)


async def test_what_is_asked_reaches_the_workers(diabetes) -> None:
    """Verbs in their order, expiry in UTC, limits."""
    limit = {"name": "burst", "requests": 5, "per_seconds": 60.0, "burst": None, "partition": "credential"}
    document = await create(
        diabetes,
        verbs=["swagger", "score", "score"],
        expires_at="2030-01-01T02:00:00+02:00",
        rate_limits=[{"name": "burst", "requests": 5, "per_seconds": 60}],
    )
    assert (document["verbs"], document["expires_at"]) == (["score", "swagger"], "2030-01-01T00:00:00.000Z")
    assert document["rate_limits"] == [limit]
    entry = worker_of(diabetes).callers["diabetes"]["acme"]
    assert (entry.verbs, entry.expires_at) == (("score", "swagger"), datetime(2030, 1, 1, tzinfo=UTC).timestamp())
    assert [spec.requests for spec in entry.rate_limits] == [5]


async def test_a_list_shows_no_keys(diabetes) -> None:
    """By name, in pages; one caller is shown with its key."""
    made = {name: (await create(diabetes, name))["key"] for name in ("b", "a", "c")}
    answer = await diabetes("GET", CALLERS + "?limit=2")
    page = await answer.json()
    assert [one["name"] for one in page["value"]] == ["a", "b"]
    text = await answer.text()
    assert not any(value in text for value in made.values())
    further = await diabetes.client.get(URL(page["next"]).path_qs, headers=diabetes.headers)
    following = await further.json()
    assert [one["name"] for one in following["value"]] == ["c"]
    named = await (await diabetes("GET", CALLERS + "?name=b")).json()
    assert [one["name"] for one in named["value"]] == ["b"]
    assert (await (await diabetes("GET", CALLERS + "/a")).json())["key"] == made["a"]
    assert (await diabetes("GET", CALLERS + "?limit=0")).status == 400
    assert (await diabetes("GET", CALLERS + "?tag=x")).status == 400


async def test_where_keys_are_shown_once(make_api) -> None:
    """With `reveal_keys: never` the key is in the answer that makes it, and in no other."""
    api = await make_api(admin=AdminSettings(reveal_keys="never"))
    await api.put()
    assert (await create(api))["key"]
    assert (await (await api("GET", CALLERS + "/acme")).json())["key"] is None
    assert (await (await api("POST", CALLERS + "/acme/regenerate")).json())["key"]


async def test_a_name_is_taken_once(diabetes) -> None:
    """The second is 409 and changes nothing."""
    made = await create(diabetes)
    answer = await diabetes("POST", CALLERS, {"name": "acme", "verbs": ["score"]})
    assert (answer.status, (await answer.json())["errors"][0]["path"]) == (409, "name")
    assert opens(diabetes, made["key"])


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ({}, "name"),
        ({"name": "-"}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": 5}, "name"),
        ({"name": "acme", "verbs": []}, "verbs"),
        ({"name": "acme", "verbs": ["delete"]}, "verbs.0"),
        ({"name": "acme", "expires_at": "tomorrow"}, "expires_at"),
        ({"name": "acme", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "acme", "expires_at": "9999-12-31T23:59:59-10:00"}, "expires_at"),
        ({"name": "acme", "rate_limits": [{"name": "x", "requests": 0}]}, "rate_limits.0.requests"),
        ({"name": "acme", "rate_limits": [{"name": "x", "requests": 1, "partition": "ip"}]}, "rate_limits.0.partition"),
        ({"name": "acme", "key": "sg1_mine"}, "key"),
        ([], ""),
    ],
)
async def test_bad_input_is_told_with_its_path(diabetes, asked: Any, path: str) -> None:
    """400, with the path of the field; nobody is made."""
    answer = await diabetes("POST", CALLERS, asked)
    assert (answer.status, (await answer.json())["errors"][0]["path"]) == (400, path)
    assert diabetes.rig.store.callers() == []


async def test_a_patch_changes_what_it_names(diabetes) -> None:
    """The key stays; null takes a field back; a version is counted; workers have it."""
    made = await create(diabetes, verbs=["score"], expires_at="2030-01-01T00:00:00Z")
    answer = await diabetes("PATCH", CALLERS + "/acme", {"verbs": None, "rate_limits": [{"name": "x", "requests": 1}]})
    document = await answer.json()
    assert document | {"verbs": ["score", "batch", "swagger"], "expires_at": "2030-01-01T00:00:00.000Z"} == document
    assert "key" not in document
    assert opens(diabetes, made["key"])
    assert len(worker_of(diabetes).callers["diabetes"]["acme"].rate_limits) == 1
    assert diabetes.rig.store.callers()[0].version == 2
    for wrong, path in (({"name": "other"}, "name"), ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"), ([], "")):
        refused = await diabetes("PATCH", CALLERS + "/acme", wrong)
        assert (refused.status, (await refused.json())["errors"][0]["path"]) == (400, path)


async def test_an_expired_caller_may_be_changed_and_not_regenerated(diabetes) -> None:
    """What is over already stays so through another change; another key for it would open nothing: 409."""
    await create(diabetes)
    rig = diabetes.rig
    past = datetime.now(UTC) - timedelta(hours=1)
    service = rig.catalog.services["diabetes"]
    one = service.callers["acme"]
    record = replace(one.record, spec=replace(one.record.spec, expires_at=past))
    rig.store.caller["diabetes", "acme"] = record
    rig.catalog.services["diabetes"] = replace(service, callers={"acme": replace(one, record=record)})
    assert (await diabetes("PATCH", CALLERS + "/acme", {"verbs": ["score"]})).status == 200
    refused = await diabetes("POST", CALLERS + "/acme/regenerate")
    assert (refused.status, "expires_at" in (await refused.json())["detail"]) == (409, True)
    assert (await diabetes("PATCH", CALLERS + "/acme", {"expires_at": None})).status == 200
    assert (await diabetes("POST", CALLERS + "/acme/regenerate")).status == 200


@pytest.mark.parametrize("grace", [{}, {"grace_seconds": 0}, {"grace_seconds": 600}])
async def test_another_key(diabetes, grace: dict[str, int]) -> None:
    """The new one opens; the old one not at all, or until its grace is over. At most two open."""
    first = await create(diabetes)
    second = await (await diabetes("POST", CALLERS + "/acme/regenerate", grace)).json()
    is_graceful = bool(grace.get("grace_seconds"))
    assert second["key"] != first["key"]
    assert (opens(diabetes, second["key"]), opens(diabetes, first["key"])) == (True, is_graceful)
    assert (second["grace_until"] is not None) is is_graceful
    assert (second["created_at"], second["id"] != first["id"]) == (first["created_at"], True)
    third = await (await diabetes("POST", CALLERS + "/acme/regenerate", grace)).json()
    known = [opens(diabetes, one["key"]) for one in (first, second, third)]
    assert known == [False, is_graceful, True]


async def test_uses_are_shown_by_key(diabetes) -> None:
    """How often the key was used, and in its grace also the one before it: whether the customer has changed over."""
    first = await create(diabetes)
    assert (first["uses_24h"], first["last_used_at"], first["former"]) == (0, None, None)
    second = await (await diabetes("POST", CALLERS + "/acme/regenerate", {"grace_seconds": 600})).json()
    now = int(time.time())
    used = [KeyUseRecord("diabetes", one["id"], now // 3600, uses, now) for one, uses in ((first, 3), (second, 5))]
    diabetes.rig.uses.add(used)
    shown = await (await diabetes("GET", CALLERS + "/acme")).json()
    when = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert (shown["uses_24h"], shown["last_used_at"]) == (5, when)
    assert shown["former"] == {"id": first["id"], "uses_24h": 3, "last_used_at": when}
    assert (await (await diabetes("GET", CALLERS)).json())["value"][0]["uses_24h"] == 5
    assert {first["id"], second["id"]} <= diabetes.rig.catalog.key_ids()


async def test_changes_are_in_the_audit_log(diabetes) -> None:
    """Who did what to which caller; the reading of a key too. No key is in it."""
    made = await create(diabetes)
    await diabetes("GET", CALLERS + "/acme")
    await diabetes("PATCH", CALLERS + "/acme", {"verbs": ["score"]})
    await diabetes("POST", CALLERS + "/acme/regenerate")
    await diabetes("DELETE", CALLERS + "/acme")
    answer = await diabetes("GET", "/audit?service=diabetes")
    entries = [(one["action"], one["target"], one["result"]) for one in (await answer.json())["value"]]
    actions = ("create_caller", "get_caller", "patch_caller", "regenerate_caller_key", "revoke_caller")
    assert entries[1:] == [(action, "acme", "done") for action in actions]
    assert made["key"] not in await answer.text()


async def test_the_service_says_how_long_by_default(diabetes) -> None:
    """`key_grace_seconds` and `key_lifetime_days` hold for callers; a grace ends with the caller at the latest."""
    await diabetes.put(key_grace_seconds=86_400, key_lifetime_days=30)
    made = await create(diabetes)
    left = datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=29) < left <= timedelta(days=30)
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    await diabetes("PATCH", CALLERS + "/acme", {"expires_at": soon})
    again = await (await diabetes("POST", CALLERS + "/acme/regenerate")).json()
    assert (again["grace_until"], again["expires_at"]) == (soon, soon)


async def test_revoked_when_answered(diabetes) -> None:
    """204 when no worker knows its key; the others stay; a second time it is 404."""
    acme, other = await create(diabetes), await create(diabetes, "other")
    assert (await diabetes("DELETE", CALLERS + "/acme")).status == 204
    assert (opens(diabetes, acme["key"]), opens(diabetes, other["key"], "other")) == (False, True)
    assert [(await diabetes(method, CALLERS + "/acme")).status for method in ("DELETE", "GET")] == [404, 404]
    assert [record.name for record in diabetes.rig.store.callers()] == ["other"]


class Hasty(Link):
    """The control: a link that does not wait."""

    async def publish(self, **changes: Any) -> Any:
        waiting = asyncio.create_task(super().publish(**changes))
        self._sending.add(waiting)
        await asyncio.sleep(0)
        return type("Acknowledged", (), {"workers": 0, "kept_old": {}})()


@pytest.mark.parametrize(("link_class", "waits"), [(Link, True), (Hasty, False)])
async def test_a_revocation_waits_for_the_slowest_worker(make_api, link_class: type[Link], waits: bool) -> None:
    """While a worker has not acknowledged there is no answer; the control, a link that does not wait, answers."""
    api = await make_api(link_class=link_class)
    await api.put()
    await create(api)
    worker = worker_of(api)
    await worker.until_received(3)
    worker.acks.clear()
    revoking = asyncio.create_task(api("DELETE", CALLERS + "/acme"))
    await worker.until_received(4)
    for _ in range(50):
        await asyncio.sleep(0)
    await asyncio.wait([revoking], timeout=None if not waits else 0.1)
    assert revoking.done() is not waits
    worker.acks.set()
    assert (await revoking).status == 204


async def test_only_the_caller_travels(diabetes, monkeypatch) -> None:
    """A change of one caller names that caller, and no service."""
    for name in ("a", "b", "c"):
        await create(diabetes, name)
    published: list[Any] = []
    publish = diabetes.rig.link.publish

    async def record(**changes: Any) -> Any:
        published.append(changes)
        return await publish(**changes)

    monkeypatch.setattr(diabetes.rig.link, "publish", record)
    await diabetes("POST", CALLERS + "/b/regenerate")
    await diabetes("DELETE", CALLERS + "/c")
    told = [change for changes in published for change in changes.pop("rosters")]
    assert [([one.name for one in change.callers], change.gone) for change in told] == [(["b"], ()), ([], ("c",))]
    assert published == [{}, {}]


async def test_a_worker_that_starts_later_has_them_all(diabetes) -> None:
    """Callers come with the first snapshot: present ones only."""
    for name in ("a", "b", "c"):
        await create(diabetes, name)
    await diabetes("DELETE", CALLERS + "/b")
    late = await diabetes.rig.ready_worker("late")
    assert list(late.callers["diabetes"]) == ["a", "c"]
    assert late.callers["diabetes"]["a"] == worker_of(diabetes).callers["diabetes"]["a"]


async def test_callers_survive_a_restart(make_api, store) -> None:
    """Another control process on the same store serves the same callers, a grace that is over left out."""
    api = await make_api()
    await api.put()
    made, kept = await create(api), await create(api, "kept")
    again = await (await api("POST", CALLERS + "/acme/regenerate", {"grace_seconds": 600})).json()
    await api("POST", CALLERS + "/kept/regenerate", {"grace_seconds": 600})
    record = store.caller["diabetes", "kept"]
    store.caller["diabetes", "kept"] = replace(record, former=replace(record.former, until=datetime.now(UTC)))
    second = await make_api()
    assert [opens(second, one["key"]) for one in (made, again)] == [True, True]
    assert not opens(second, kept["key"], "kept")
    shown = await (await second("GET", CALLERS + "/acme")).json()
    assert shown["key"] == again["key"]


async def test_with_the_service_go_its_callers(diabetes) -> None:
    """A service of the same name made later has none of them."""
    made = await create(diabetes)
    assert (await diabetes("DELETE", "/services/diabetes")).status == 204
    assert (await diabetes("GET", CALLERS)).status == 404
    await diabetes.put()
    assert (await (await diabetes("GET", CALLERS)).json())["value"] == []
    assert not opens(diabetes, made["key"])


async def test_a_change_of_the_service_leaves_them(diabetes) -> None:
    """Another spec or another key of the pair takes no caller away."""
    made = await create(diabetes)
    await diabetes.put(description="other")
    await diabetes("POST", "/services/diabetes/keys/primary/regenerate")
    assert opens(diabetes, made["key"])
    assert [one["name"] for one in (await (await diabetes("GET", CALLERS)).json())["value"]] == ["acme"]


async def test_a_service_of_the_file_has_callers_too(make_api, make_spec, file_place) -> None:
    """Its block belongs to the file, its callers to the API: also after it left the file and came back."""
    spec, place = make_spec(), file_place("gateway.yaml", 3)
    api = await make_api({"diabetes": spec}, {"diabetes": place})
    made = await create(api)
    catalog = api.rig.catalog
    await catalog.redeclare({"diabetes": spec}, {}, {})
    assert "diabetes" not in worker_of(api).callers
    await catalog.redeclare({}, {"diabetes": spec}, {"diabetes": place})
    assert opens(api, made["key"])
    assert (await (await api("GET", CALLERS + "/acme")).json())["key"] == made["key"]


async def test_where_no_key_opens(diabetes) -> None:
    """409 for a new caller and a new key; those that are there can be listed and revoked."""
    await create(diabetes)
    await diabetes.put(auth_enabled=False, token_auth_enabled=True)
    refused = await diabetes("POST", CALLERS, {"name": "new"})
    assert (refused.status, "auth_enabled is false" in (await refused.json())["detail"]) == (409, True)
    assert (await diabetes("GET", CALLERS)).status == 200
    assert (await diabetes("DELETE", CALLERS + "/acme")).status == 204


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/services/nothing/callers", None),
        ("POST", "/services/nothing/callers", {"name": "acme"}),
        ("GET", CALLERS + "/nobody", None),
        ("PATCH", CALLERS + "/nobody", {}),
        ("POST", CALLERS + "/nobody/regenerate", None),
        ("DELETE", CALLERS + "/nobody", None),
    ],
)
async def test_who_is_not_there(diabetes, method: str, path: str, body: Any) -> None:
    """404 names what is missing."""
    answer = await diabetes(method, path, body)
    assert (answer.status, "no" in (await answer.json())["detail"]) == (404, True)


async def test_without_a_store_nothing_changes(diabetes) -> None:
    """503, and the workers know what they knew."""
    made = await create(diabetes)
    diabetes.rig.store.broken = True
    assert (await diabetes("POST", CALLERS, {"name": "new"})).status == 503
    assert (await diabetes("DELETE", CALLERS + "/acme")).status == 503
    assert opens(diabetes, made["key"])
    assert [one["name"] for one in (await (await diabetes("GET", CALLERS)).json())["value"]] == ["acme"]


async def test_ten_thousand_callers(make_api, store, monkeypatch) -> None:
    """One of ten thousand changes by a message of a kilobyte; the control: all of them are more than a megabyte."""
    first = await make_api()
    await first.put()
    now = datetime.now(UTC)
    for number in range(10_000):
        made = caller.created(first.rig.keyring, "diabetes", f"c{number}", CallerSpec(), now)
        store.caller["diabetes", made.name] = made.record
    sent: list[int] = []
    send, send_held = Peer.send, Peer.send_held

    async def note_held(peer: Peer, length: int, parts: Any) -> None:
        sent.append(length)
        await send_held(peer, length, parts)

    monkeypatch.setattr(Peer, "send", lambda peer, payload: (sent.append(len(payload)), send(peer, payload)))
    monkeypatch.setattr(Peer, "send_held", note_held)
    api = await make_api()
    assert len(worker_of(api).callers["diabetes"]) == 10_000
    assert sum(sent) > 1_000_000
    sent.clear()
    again = await (await api("POST", CALLERS + "/c5000/regenerate", {"grace_seconds": 60})).json()
    assert (await api("DELETE", CALLERS + "/c5001")).status == 204
    assert opens(api, again["key"], "c5000")
    assert len(worker_of(api).callers["diabetes"]) == 9_999
    assert (len(sent), max(sent) < 1024) == (2, True)
