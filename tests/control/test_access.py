"""Who opens a control process that runs: its token file, its provider, and what it tells of itself in the audit log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from oidc_provider import AUDIENCE, OidcProvider
from test_process import start

from gateway.control import token_file
from gateway.core.settings import OidcSettings

__all__ = ["start"]

SECOND = "sga_" + "2" * 40


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> None:
    monkeypatch.setattr("gateway.control.ports.LOOK_SECONDS", 0.02)
    monkeypatch.setattr("gateway.control.audit.FLUSH_SECONDS", 0.02)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await condition():
            await asyncio.sleep(0.01)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_another_token_in_the_file(start, start_worker, store) -> None:
    """A file that is replaced: the new token opens, the old one does not, nobody is signed in to the portal."""
    running = start()
    await start_worker(running.path)
    ready = await running.ready()
    path, url = Path(ready["admin_token_file"]), ready["admin_url"]
    first = path.read_text().strip()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:

        async def status(token: str) -> int:
            async with session.get(f"{url}/v1/services", headers=bearer(token)) as answer:
                return answer.status

        async def is_signed_in() -> bool:
            async with session.get(f"{url}/") as answer:
                return "Admin token" not in await answer.text()

        async with session.post(f"{url}/sign-in", data={"token": first}) as answer:
            assert answer.status == 200
        assert await is_signed_in()
        scratch = path.with_name("scratch")
        scratch.write_text(SECOND + "\n")
        scratch.replace(path)

        async def is_replaced() -> bool:
            return await status(SECOND) == 200

        await until(is_replaced)
        assert await status(first) == 401
        assert not await is_signed_in()
        async with session.post(f"{url}/sign-in", data={"token": first}) as answer:
            assert answer.status == 401
    await running.end()
    told = [(one.actor, one.action, one.result) for one in store.entries]
    assert ("gateway", "start", "done") in told
    assert ("admin", "sign_in", "done") in told
    assert ("gateway", "replace_admin_token", "done") in told
    assert ("-", "sign_in", "401") in told


async def test_a_provider_in_the_settings(start, start_worker) -> None:
    """admin.oidc opens the admin API for those whom the provider vouches for, with tokens of any size it makes."""
    provider = await OidcProvider().start()
    running = start()
    settings = running.plane.settings
    oidc = OidcSettings(provider.issuer, AUDIENCE, roles={"reader": ["ml"]})
    await running.end()
    running = start(settings=replace(settings, admin=replace(settings.admin, oidc=oidc)))
    await start_worker(running.path)
    ready = await running.ready()
    async with aiohttp.ClientSession() as session:
        for count in (0, 300):
            token = provider.token("ml", *(f"a-group-with-a-longish-name-{number}" for number in range(count)))
            async with session.get(f"{ready['admin_url']}/v1/services", headers=bearer(token)) as answer:
                assert answer.status == 200
        assert len(token) > 10_000
        async with session.get(f"{ready['admin_url']}/v1/signing-keys", headers=bearer(token)) as answer:
            assert answer.status == 403
    assert provider.asked == 1
    await running.end()
    await provider.stop()


def test_the_file_is_looked_at_every_second() -> None:
    """The time that the pages promise."""
    assert token_file.LOOK_SECONDS == 1.0
