"""The admin API as a client meets it, with one acknowledged worker behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

BLOCK = {"backends": ["http://127.0.0.1:5001"], "health": None}


@dataclass
class Api:
    """Sends as the admin. `rig` is what answers."""

    rig: Any
    client: Any
    headers: dict[str, str]

    async def __call__(self, method: str, path: str, json: Any = None, **options: Any) -> Any:
        options["headers"] = self.headers | options.get("headers", {})
        if json is not None:
            options["json"] = json
        return await self.client.request(method, "/v1" + path, **options)

    async def put(self, name: str = "diabetes", **fields: Any) -> Any:
        """Make a service; the parsed answer."""
        answer = await self("PUT", f"/services/{name}", {**BLOCK, **fields})
        assert answer.status in (200, 201), await answer.text()
        return await answer.json()


@pytest.fixture
async def make_api(aiohttp_client, make_rig, owner):
    """An API over a rig of these services and settings."""

    async def make(*arguments: Any, **changes: Any) -> Api:
        rig = await make_rig(*arguments, **changes)
        await rig.ready_worker("a")
        return Api(rig, await aiohttp_client(rig.app), owner)

    return make


@pytest.fixture
async def api(make_api):
    return await make_api()


@pytest.fixture
def block() -> dict[str, Any]:
    """A service that nobody probes."""
    return dict(BLOCK)
