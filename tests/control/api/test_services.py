"""Operations on services, as a client sees them."""

from __future__ import annotations

import io
import json
import time
from datetime import UTC, datetime

import pytest

from gateway.control.api.body import merge
from gateway.core.ejection import EJECTED, SUSPECT, TRIAL
from gateway.core.meter import QUEUED


async def faults(answer) -> list[str]:
    """Paths of the errors of a problem document, which must be whole."""
    document = await answer.json()
    assert answer.content_type == "application/problem+json"
    assert {"type", "title", "status", "detail", "request_id"} <= set(document)
    assert document["status"] == answer.status
    assert all(set(error) == {"path", "reason"} for error in document.get("errors", []))
    return [error["path"] for error in document.get("errors", [])]


async def test_create_show_replace_delete(api, block) -> None:
    """A service is made (201), shown, replaced (200) and deleted (204); then it is 404."""
    answer = await api("PUT", "/services/diabetes", {**block, "tags": {"team": "health"}})
    assert answer.status == 201
    assert answer.headers["Location"] == "/v1/services/diabetes"
    made = await answer.json()
    assert made["name"] == "diabetes"
    assert made["origin"] == "api"
    assert made["state"] == "Healthy"
    assert made["auth_enabled"] is True
    assert made["token_auth_enabled"] is False
    assert made["created_at"] == made["updated_at"]
    assert "keys" not in made
    assert await (await api("GET", "/services/diabetes")).json() == made
    answer = await api("PUT", "/services/diabetes", {**block, "description": "second"})
    assert answer.status == 200
    assert (await answer.json())["tags"] == {}
    assert (await api("DELETE", "/services/diabetes")).status == 204
    assert (await api("GET", "/services/diabetes")).status == 404
    assert (await api("DELETE", "/services/diabetes")).status == 404


async def test_uris_follow_the_caller(api) -> None:
    """The scoring URI has the caller's host and the scoring port; without a document there is no swagger URI."""
    await api.put(swagger_path=None)
    for host, shown in (
        ("gw.example:9999", "gw.example:8443"),
        ("[::1]:8444", "[::1]:8443"),
        ("bad host", "localhost:8443"),
    ):
        service = await (await api("GET", "/services/diabetes", headers={"Host": host})).json()
        assert service["scoring_uri"] == f"https://{shown}/api/v1/service/diabetes/score"
        assert service["swagger_uri"] is None


@pytest.mark.parametrize("name", ["ab", "Upper", "-abc", "abc-", "a" * 33, "a_b_c", "a%20b"])
async def test_bad_name(api, block, name: str) -> None:
    """A name that no service may have is refused with its path."""
    answer = await api("PUT", f"/services/{name}", block)
    assert answer.status == 400
    assert await faults(answer) == ["name"]


@pytest.mark.parametrize(
    ("document", "paths"),
    [
        ({}, [""]),
        ([], [""]),
        ({"backends": ["not a url"]}, ["backends.0"]),
        ({"backends": ["http://a"], "colour": 1}, ["colour"]),
        ({"backends": ["http://a"], "scoring_timeout_ms": "5"}, ["scoring_timeout_ms"]),
        (
            {"backends": ["http://a"], "cors": {"allowed_origins": ["*", 1], "z": 1}},
            ["cors.allowed_origins.1", "cors.z"],
        ),
        ({"backends": ["http://a"], "rate_limits": [{"name": "x"}]}, ["rate_limits.0.requests"]),
        ({"backends": ["http://a"], "deployments": {"A b": {"backends": ["http://a"]}}}, ["deployments.A b"]),
        ({"deployments": {"blue": {"backends": ["http://a"], "traffic": 40}}}, [""]),
    ],
)
async def test_bad_block(api, document, paths) -> None:
    """Every fault of a block is told with its path, and nothing is made."""
    answer = await api("PUT", "/services/diabetes", document)
    assert answer.status == 400
    assert await faults(answer) == paths
    assert "diabetes" not in api.rig.catalog.services


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": NaN}', b"\xff\xfe", b'"\\ud800"', b"[" * 100_000])
async def test_bad_json(api, body: bytes) -> None:
    """What is no JSON is told as such, however odd."""
    answer = await api("PUT", "/services/diabetes", data=body, headers={"Content-Type": "application/json"})
    assert answer.status == 400
    assert await faults(answer) == [""]


async def test_wrong_content_type(api) -> None:
    """A form is refused with the type that is needed."""
    answer = await api("PUT", "/services/diabetes", data={"backends": "http://a"})
    assert answer.status == 415
    assert "application/json" in (await answer.json())["detail"]


async def test_too_large(api) -> None:
    """A body beyond 1 MiB is 413."""
    headers = {"Content-Type": "application/json"}
    answer = await api("PUT", "/services/diabetes", data=io.BytesIO(b" " * ((1 << 20) + 1)), headers=headers)
    assert answer.status == 413
    assert answer.content_type == "application/problem+json"


async def test_unknown_path_and_wrong_method(api) -> None:
    """404 and 405 are problem documents; the latter says what is allowed."""
    answer = await api("GET", "/nothing")
    assert answer.status == 404
    await faults(answer)
    answer = await api("POST", "/services")
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET"
    await faults(answer)


async def test_every_answer_is_private_and_named(api) -> None:
    """No answer may be stored; each has a request id, the caller's own where it is a plain one."""
    for path, given in (("/services", "my-id.1"), ("/nothing", "bad id"), ("/openapi.json", "")):
        answer = await api("GET", path, headers={"x-request-id": given})
        assert answer.headers["Cache-Control"] == "no-store"
        assert (answer.headers["x-request-id"] == given) == (given == "my-id.1")
        assert len(answer.headers["x-request-id"]) >= 7


async def test_merge_patch(api) -> None:
    """RFC 7396: members merge, null goes back to the default, lists are replaced, the rest stays."""
    await api.put(tags={"a": "1", "b": "2"}, description="first", hosts=["a.example", "b.example"])
    answer = await api(
        "PATCH",
        "/services/diabetes",
        {"tags": {"a": None, "c": "3"}, "description": None, "hosts": ["c.example"], "retry": {"attempts": 5}},
        headers={"Content-Type": "application/merge-patch+json"},
    )
    assert answer.status == 200, await answer.text()
    patched = await answer.json()
    assert patched["tags"] == {"b": "2", "c": "3"}
    assert patched["description"] == ""
    assert patched["hosts"] == ["c.example"]
    assert patched["retry"] == {"attempts": 5, "budget_percent": 20}
    assert patched["health"] is None
    assert patched["backends"] == ["http://127.0.0.1:5001"]


async def test_patch_from_backends_to_deployments(api) -> None:
    """Null for one of two fields that exclude each other, a value for the other: one patch does both."""
    await api.put()
    blue = {"blue": {"backends": ["http://a:1"], "traffic": 100}}
    assert (await api("PATCH", "/services/diabetes", {"deployments": blue})).status == 400
    answer = await api("PATCH", "/services/diabetes", {"backends": None, "deployments": blue})
    assert answer.status == 200
    assert api.rig.workers["a"].services["diabetes"].deployments[0].name == "blue"


@pytest.mark.parametrize(
    ("patch", "status", "paths"),
    [([], 400, [""]), ({"colour": 1}, 400, ["colour"]), ({"backends": None}, 400, [""]), ({"tags": 1}, 400, ["tags"])],
)
async def test_bad_patch(api, patch, status: int, paths) -> None:
    """A patch whose result is no service is refused with paths, and nothing changes."""
    before = await api.put()
    answer = await api("PATCH", "/services/diabetes", patch)
    assert answer.status == status
    assert await faults(answer) == paths
    assert await (await api("GET", "/services/diabetes")).json() == before


async def test_patch_of_nothing(api) -> None:
    """A service that is not there cannot be patched."""
    assert (await api("PATCH", "/services/diabetes", {"description": "x"})).status == 404


async def test_etag(api, block) -> None:
    """If-Match with the ETag of the last read changes; with an older one it is 412 and nothing changes."""
    await api.put()
    tag = (await api("GET", "/services/diabetes")).headers["ETag"]
    answer = await api("PATCH", "/services/diabetes", {"description": "one"}, headers={"If-Match": tag})
    assert answer.status == 200
    newer = answer.headers["ETag"]
    assert newer != tag
    for method, body in (("PATCH", {"description": "two"}), ("PUT", block), ("DELETE", None)):
        answer = await api(method, "/services/diabetes", body, headers={"If-Match": tag})
        assert answer.status == 412, method
    assert (await (await api("GET", "/services/diabetes")).json())["description"] == "one"
    answer = await api("PUT", "/services/diabetes", block, headers={"If-Match": f'"x", {newer}'})
    assert answer.status == 200
    assert (await api("PUT", "/services/other", block, headers={"If-Match": "*"})).status == 412
    assert (await api("PUT", "/services/diabetes", block, headers={"If-None-Match": "*"})).status == 412
    assert (await api("PUT", "/services/other", block, headers={"If-None-Match": "*"})).status == 201


async def test_etag_of_a_service_made_again(api) -> None:
    """The ETag of a deleted service does not fit the next one of its name."""
    await api.put()
    tag = (await api("GET", "/services/diabetes")).headers["ETag"]
    await api("DELETE", "/services/diabetes")
    await api.put()
    assert (await api("DELETE", "/services/diabetes", headers={"If-Match": tag})).status == 412


async def test_pages(api) -> None:
    """Following `next` gives every service once, in order; its scheme, host and filters are the caller's."""
    names = [f"svc-{number:02}" for number in range(7)]
    for name in names:
        await api.put(name, tags={"even": "yes"} if int(name[-1]) % 2 == 0 else {})
    seen, url = [], "/services?limit=3"
    while url:
        page = await (await api("GET", url, headers={"Host": "gw.example:1"})).json()
        assert len(page["value"]) <= 3
        seen += [service["name"] for service in page["value"]]
        url = page.get("next", "").removeprefix("http://gw.example:1/v1")
    assert seen == names
    page = await (await api("GET", "/services?tag=even=yes&limit=2")).json()
    assert [service["name"] for service in page["value"]] == ["svc-00", "svc-02"]
    assert "tag=even" in page["next"]
    for query, found in (
        ("tag=even", 4),
        ("tag=even=no", 0),
        ("tag=even&tag=odd", 0),
        ("name=-03", 1),
        ("after=svc-05", 1),
    ):
        page = await (await api("GET", f"/services?{query}")).json()
        assert len(page["value"]) == found, query
        assert "next" not in page


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "limit=-1", "limit=%C2%B2", "colour=1"])
async def test_bad_query(api, query: str) -> None:
    """A query parameter that is unknown or out of range is refused with its name."""
    answer = await api("GET", f"/services?{query}")
    assert answer.status == 400
    assert await faults(answer) == [query.partition("=")[0]]


async def test_given_keys_are_set_and_never_shown(api, block) -> None:
    """`keys` in a block are the first values, and stand in no answer but that of the keys operation."""
    given = {"primary": "first-value", "secondary": "second-value"}
    answer = await api("PUT", "/services/diabetes", {**block, "keys": given})
    assert answer.status == 201
    assert "first-value" not in await answer.text()
    keys = await (await api("GET", "/services/diabetes/keys")).json()
    assert keys["primary_key"] == "first-value"
    assert "first-value" not in repr(api.rig.store.service)
    assert (await api("PUT", "/services/diabetes", {**block, "keys": given})).status == 200
    answer = await api("PUT", "/services/diabetes", {**block, "keys": {**given, "primary": "other-value"}})
    assert answer.status == 400
    assert await faults(answer) == ["keys.primary"]
    assert "other-value" not in await answer.text()


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"keys": {"primary": "same", "secondary": "same"}}, "keys"),
        ({"keys": {"primary": "env:HOME", "secondary": "second"}}, "keys.primary"),
        ({"keys": {"primary": "first", "secondary": "file:/etc/shadow"}}, "keys.secondary"),
        ({"keys": {"primary": "with space", "secondary": "second"}}, "keys.primary"),
        ({"keys": {"primary": "first", "secondary": "second"}, "auth_enabled": False}, "keys"),
    ],
)
async def test_keys_that_cannot_be_set(api, block, fields, path: str) -> None:
    """Keys that are equal, references into the server, unsendable or useless are refused, unrepeated."""
    answer = await api("PUT", "/services/diabetes", {**block, **fields})
    assert answer.status == 400
    assert await faults(answer) == [path]
    assert "/etc/shadow" not in await answer.text()


async def test_secret_headers_are_hidden(api) -> None:
    """Values of headers whose name says that they are secret are shown as null, and still sent."""
    shown = await api.put(request_headers={"set": {"Authorization": "Basic abc", "X-Api-Key": "s", "X-Team": "health"}})
    assert shown["request_headers"]["set"] == {"Authorization": None, "X-Api-Key": None, "X-Team": "health"}
    patched = await (await api("PATCH", "/services/diabetes", {"description": "x"})).json()
    assert patched["request_headers"] == shown["request_headers"]
    assert api.rig.workers["a"].services["diabetes"].spec.request_headers.set["X-Api-Key"] == "s"


async def test_status(api, board) -> None:
    """State, backends with outstanding requests, queue and utilization come from scoreboard and workers."""
    await api.put(backends=["http://a:1", "http://b:1"], max_concurrent_requests_per_container=2)
    api.rig.workers["a"].rows = [(QUEUED.name, ("diabetes",), (3.0,))]
    board.busy[0] = 2
    status = await (await api("GET", "/services/diabetes/status")).json()
    assert status["state"] == "Healthy"
    assert status["queue"] == {"length": 3}
    assert status["utilization"] == 1.25
    first = status["deployments"]["default"]["backends"][0]
    assert (first["url"], first["state"], first["outstanding"]) == ("http://a:1", "Healthy", 2)
    assert status["deployments"]["default"]["traffic"] == 100
    await api.put(max_concurrent_requests_per_container=None)
    assert (await (await api("GET", "/services/diabetes/status")).json())["utilization"] is None
    assert (await api("GET", "/services/nothing/status")).status == 404


async def test_ejected(api, board) -> None:
    """A backend that the workers leave out is shown so, with the moment; the service is well while another one is."""
    await api.put(backends=["http://a:1", "http://b:1"])
    board.standings[0] = (EJECTED, time.monotonic() - 60)
    status = await (await api("GET", "/services/diabetes/status")).json()
    ejected, other = status["deployments"]["default"]["backends"]
    assert (ejected["state"], other["state"], status["state"]) == ("Ejected", "Healthy", "Healthy")
    since = datetime.fromisoformat(ejected["since"])
    assert 59 < (datetime.now(UTC) - since).total_seconds() < 90
    board.standings[1] = (TRIAL, time.monotonic())
    assert (await (await api("GET", "/services/diabetes/status")).json())["state"] == "Unhealthy"
    board.standings = {0: (SUSPECT, 1.0)}
    status = await (await api("GET", "/services/diabetes/status")).json()
    assert status["deployments"]["default"]["backends"][0]["state"] == "Healthy"


async def test_store_away(api, block) -> None:
    """While the store is away changes are 503 with Retry-After, and reads go on."""
    await api.put()
    api.rig.store.broken = True
    answer = await api("PUT", "/services/other", block)
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert (await api("GET", "/services/diabetes")).status == 200


async def test_failure_of_ours_tells_nothing(api, monkeypatch, caplog) -> None:
    """An error of our own is a 500 with a request id, its trace only in the log."""

    def fail(name: str):
        raise ZeroDivisionError("inner secret")

    monkeypatch.setattr(api.rig.catalog, "get", fail)
    answer = await api("GET", "/services/diabetes")
    assert answer.status == 500
    assert "inner secret" not in await answer.text()
    assert "inner secret" in caplog.text


async def test_operations_are_logged_without_secrets(api, caplog) -> None:
    """Who, what, on which service, with which result; never a key."""
    caplog.set_level("INFO", "gateway.control")
    await api.put(keys={"primary": "first-value", "secondary": "second-value"})
    made = await (await api("POST", "/services/diabetes/keys/primary/regenerate", {"value": "third-value"})).json()
    await api("GET", "/services/diabetes/keys")
    told = [record.getMessage() for record in caplog.records if "admin operation" in record.getMessage()]
    assert len(told) == 3
    assert "actor=admin" in told[1]
    assert "action=regenerate_key service=diabetes target=primary result=200" in told[1]
    for secret in ("first-value", "second-value", "third-value", made["value"], api.headers["Authorization"][7:]):
        assert secret not in caplog.text


def test_merge() -> None:
    """The cases of RFC 7396; the control, a plain update of members, gets null wrong."""
    assert merge({"a": 1}, {"a": None}) == {}
    assert {"a": 1} | {"a": None} != {}
    assert merge({"a": {"b": 1}}, {"a": {"c": 2}}) == {"a": {"b": 1, "c": 2}}
    assert merge({"a": [1]}, {"a": [2]}) == {"a": [2]}
    assert merge({"a": 1}, {"a": {"b": {"c": None}}}) == {"a": {"b": {}}}
    assert merge(json.loads("[1]"), {"a": 1}) == {"a": 1}
