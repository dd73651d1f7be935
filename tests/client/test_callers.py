"""Named callers through both shells: the requests that are sent, and what comes back."""

import asyncio
import inspect
from datetime import UTC, datetime, timedelta, timezone

import pytest
from fake_gateway import ADMIN_TOKEN

from gateway.client import ClientError, RefusedError, Webservice, WebserviceNotFound, Workspace
from gateway.client.aio import AsyncWebservice, AsyncWorkspace


@pytest.fixture(params=["blocking", "asyncio"])
async def service(request, fake):
    """The service `diabetes`, every method of which is awaited: the blocking ones run in a thread."""
    if request.param == "asyncio":
        async with AsyncWorkspace(fake.admin_url, ADMIN_TOKEN, fake.ca_file) as workspace:
            yield await AsyncWebservice.get(workspace, "diabetes")
        return
    with Workspace(fake.admin_url, ADMIN_TOKEN, fake.ca_file) as workspace:
        yield await asyncio.to_thread(Webservice, workspace, "diabetes")


async def call(method, *arguments, **named):
    if inspect.iscoroutinefunction(method):
        return await method(*arguments, **named)
    return await asyncio.to_thread(method, *arguments, **named)


async def test_the_life_of_a_caller(service, fake):
    """Created with its key, shown, changed, its key replaced, revoked: each is one request."""
    limits = [{"name": "burst", "requests": 5, "per_seconds": 1}]
    moment = datetime(2030, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    made = await call(service.create_caller, "acme", verbs=["score"], rate_limits=limits, expires_at=moment)
    assert made["key"] == "acme-key"
    assert fake.seen[-1].document == {
        "name": "acme",
        "verbs": ["score"],
        "rate_limits": limits,
        "expires_at": "2030-01-01T01:00:00+01:00",
    }
    assert (await call(service.caller, "acme"))["rate_limits"] == limits
    changed = await call(service.update_caller, "acme", expires_at=None)
    assert (changed["expires_at"], fake.seen[-1].headers["content-type"]) == (None, "application/merge-patch+json")
    assert await call(service.regen_caller_key, "acme", grace_seconds=60) == "random-1"
    assert (fake.seen[-1].path, fake.seen[-1].document) == (
        "/v1/services/diabetes/callers/acme/regenerate",
        {"grace_seconds": 60},
    )
    assert await call(service.revoke_caller, "acme") is None
    assert fake.callers == {}


async def test_all_pages_of_callers_are_one_list(service, fake):
    """The list goes on where `next` says."""
    for name in ("a", "b", "c", "d", "e"):
        await call(service.create_caller, name)
    assert [one["name"] for one in await call(service.callers)] == ["a", "b", "c", "d", "e"]
    assert [seen.query for seen in fake.requests("GET", "/callers")] == [
        [("limit", "100")],
        [("limit", "100"), ("after", "b")],
        [("limit", "100"), ("after", "d")],
    ]


async def test_who_is_missing(service):
    """A caller that there is not is no missing service."""
    with pytest.raises(RefusedError, match="no caller named nobody") as refused:
        await call(service.caller, "nobody")
    assert not isinstance(refused.value, WebserviceNotFound)


async def test_a_time_without_zone_is_not_sent(service, fake):
    """Nobody knows which moment was meant; the control, a time in UTC, is sent."""
    with pytest.raises(ClientError, match="time zone"):
        await call(service.create_caller, "acme", expires_at=datetime(2030, 1, 1))  # noqa: DTZ001 - the mistake
    assert fake.requests("POST", "/callers") == []
    await call(service.create_caller, "acme", expires_at=datetime(2030, 1, 1, tzinfo=UTC))
    assert fake.seen[-1].document["expires_at"] == "2030-01-01T00:00:00+00:00"


async def test_a_name_is_one_part_of_the_path(service, fake):
    """A name that is none leads nowhere else."""
    with pytest.raises(RefusedError):
        await call(service.caller, "../../other")
    assert fake.seen[-1].path == "/v1/services/diabetes/callers/../../other"
