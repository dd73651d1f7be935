"""A real OpenID Connect provider, as small as can be: discovery, a key set that rotates, tokens; and its bad days."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import jwt
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.core.jwk import SigningKey

AUDIENCE = "scoregate"


class OidcProvider:
    """Listens on a free port of the loopback between `start` and `stop`. `asked`: how often its key set was fetched."""

    def __init__(self) -> None:
        self.keys = [SigningKey.generate("ES256")]
        self.asked = 0
        self.discovery: dict[str, Any] = {}
        self.key_set: Any = None
        self.status = 200
        self.padding = b""
        self.gate = asyncio.Event()
        self.gate.set()
        self._server: TestServer | None = None

    async def start(self, port: int = 0) -> OidcProvider:
        """`port`: the one it had before a stop, so that it is the same issuer."""
        app = web.Application()
        app.router.add_get("/realm/.well-known/openid-configuration", self._discovery)
        app.router.add_get("/realm/keys", self._keys)
        app.router.add_get("/elsewhere", self._keys)
        self._server = TestServer(app, host="127.0.0.1", port=port or None)
        await self._server.start_server()
        return self

    async def stop(self) -> int:
        """The port it had."""
        self.gate.set()
        port = self._server.port
        await self._server.close()
        return port

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self._server.port}/realm"

    def rotate(self, algorithm: str = "ES256", *, keep: int = 1) -> SigningKey:
        """Sign with a new key; of those before it `keep` stay published."""
        self.keys = [SigningKey.generate(algorithm), *self.keys[:keep]]
        return self.keys[0]

    def token(
        self, *roles: str, by: SigningKey | None = None, header: dict[str, Any] | None = None, **claims: Any
    ) -> str:
        """A token of somebody with these roles. A claim that is None is left out."""
        key, now = by or self.keys[0], int(time.time())
        told = {"iss": self.issuer, "aud": AUDIENCE, "sub": "ann", "iat": now, "exp": now + 300, "roles": list(roles)}
        told = {name: value for name, value in {**told, **claims}.items() if value is not None}
        return jwt.encode(told, key.private_key, key.algorithm, headers={"kid": key.kid, **(header or {})})

    async def _discovery(self, _request: web.Request) -> web.Response:
        await self.gate.wait()
        return web.json_response({"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys", **self.discovery})

    async def _keys(self, _request: web.Request) -> web.Response:
        self.asked += 1
        await self.gate.wait()
        if self.padding:
            return web.Response(body=self.padding)
        if self.status != 200:
            return web.Response(status=self.status, headers={"Location": "/elsewhere"})
        published = {"keys": [key.verifying_key().jwk for key in self.keys]}
        return web.json_response(published if self.key_set is None else self.key_set)
