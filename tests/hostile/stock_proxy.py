"""The control: a reverse proxy as aiohttp's documentation would have one write it, with a key check before it."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import ClientSession, web
from recorder import HOST, ServerThread

quiet = logging.getLogger("hostile.stock_proxy")
quiet.disabled = True
HOP_BY_HOP = frozenset(
    [
        "host",
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
        "authorization",
    ]
)


class StockProxy(ServerThread):
    """web.Application and ClientSession; it removes the usual hop-by-hop fields and the credential."""

    def __init__(self, backend_url: str, key: str) -> None:
        self._backend_url = backend_url
        self._credential = f"Bearer {key}"
        super().__init__()

    async def open(self) -> int:
        self._session = ClientSession()
        app = web.Application(client_max_size=1_048_576)
        app.router.add_route("*", "/api/v1/service/probe/score", self._handle)
        self._runner = web.AppRunner(app, access_log=None, logger=quiet, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, 0).start()
        port: int = self._runner.addresses[0][1]
        return port

    async def close(self) -> None:
        await self._runner.cleanup()
        await self._session.close()
        await asyncio.sleep(0)

    async def _handle(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != self._credential:
            return web.Response(status=401)
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP]
        url = f"{self._backend_url}/score?{request.query_string}"
        async with self._session.request(
            request.method, url, headers=headers, data=await request.read(), allow_redirects=False
        ) as answer:
            passed = [(name, value) for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP]
            return web.Response(status=answer.status, headers=passed, body=await answer.read())
