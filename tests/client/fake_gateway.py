"""A gateway as clients see it: admin API and scoring on one TLS port, in a thread with a loop of its own.

It keeps services, keys and tokens in plain attributes, so that a test can change them behind the client's back, and
records every request. Rules for opening the door are those of the product, in a few lines.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

ADMIN_TOKEN = "admin-token-of-the-fake"
PROVIDED = "bearer-token-of-a-provider"
TWO_ROWS = [217.67978776218715, 224.78937091757172]
TIME = "2026-11-21T08:00:00Z"


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass
class FakeGateway:
    """State that tests look at and change. `away`: the admin API answers 503. `refresh_in`: seconds of new tokens."""

    ca_file: str
    context: ssl.SSLContext | None
    services: dict[str, dict[str, Any]] = field(default_factory=dict)
    keys: dict[str, dict[str, str]] = field(default_factory=dict)
    key_ends: dict[str, str | None] = field(default_factory=dict)
    reveals_keys: bool = True
    rewrapped: bool = False
    callers: dict[str, dict[str, Any]] = field(default_factory=dict)
    audit: list[dict[str, Any]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    seen: list[Seen] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    page: int = 2
    refresh_in: float = 43200.0
    away: bool = False
    issued: int = 0
    rotations: int = 0
    port: int = 0

    def __post_init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._ready: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def admin_url(self) -> str:
        return f"{'https' if self.context else 'http'}://127.0.0.1:{self.port}"

    def add(self, name: str, **fields: Any) -> dict[str, Any]:
        service = {
            "name": name,
            "description": "",
            "tags": {},
            "compute_type": "AKS",
            "auth_enabled": True,
            "token_auth_enabled": False,
            "scoring_uri": f"{self.admin_url}/api/v1/service/{name}/score",
            "swagger_uri": f"{self.admin_url}/api/v1/service/{name}/swagger.json",
            "state": "Healthy",
            "origin": "api",
            "created_at": TIME,
            "updated_at": TIME,
            "backends": ["http://127.0.0.1:5001"],
        }
        self.services[name] = service | fields
        self.keys[name] = {"primary": f"{name}-primary-value", "secondary": f"{name}-secondary-value"}
        return self.services[name]

    def requests(self, method: str, ending: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.method == method and seen.path.endswith(ending)]

    def start(self) -> None:
        self._thread.start()
        self.port = self._ready.result(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        runner = web.AppRunner(self._application(), shutdown_timeout=0.1)
        self._loop.run_until_complete(self._listen(runner))
        self._loop.run_forever()
        self._loop.run_until_complete(self._end(runner))
        self._loop.close()

    async def _end(self, runner: web.AppRunner) -> None:
        await runner.cleanup()
        # Half-done TLS handshakes and shutdowns are cut, so that nothing outlives the loop.
        for transport in list(self._loop._transports.values()):
            transport.abort()
        for _ in range(3):
            await asyncio.sleep(0)

    async def _listen(self, runner: web.AppRunner) -> None:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self.context)
        await site.start()
        self._ready.set_result(runner.addresses[0][1])

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[self._door])
        service = "/v1/services/{name}"
        app.router.add_get("/v1/services", self._list)
        app.router.add_get(service, self._show)
        app.router.add_put(service, self._put)
        app.router.add_patch(service, self._patch)
        app.router.add_delete(service, self._delete)
        app.router.add_get(f"{service}/status", self._status)
        app.router.add_get(f"{service}/keys", self._keys)
        app.router.add_get(f"{service}/keys/{{slot}}", self._key)
        app.router.add_patch(f"{service}/keys/{{slot}}", self._key)
        app.router.add_post(f"{service}/keys/{{slot}}/regenerate", self._regenerate)
        app.router.add_get("/v1/master-key", self._master_key)
        app.router.add_post("/v1/master-key/rewrap", self._master_key)
        app.router.add_post(f"{service}/token", self._token)
        app.router.add_post(f"{service}/tokens/revoke", self._revoke)
        app.router.add_get("/v1/signing-keys", self._signing_keys)
        app.router.add_post("/v1/signing-keys/rotate", self._signing_keys)
        app.router.add_get(f"{service}/callers", self._callers)
        app.router.add_post(f"{service}/callers", self._create_caller)
        for method in ("GET", "PATCH", "DELETE"):
            app.router.add_route(method, f"{service}/callers/{{caller}}", self._caller)
        app.router.add_post(f"{service}/callers/{{caller}}/regenerate", self._regenerate_caller)
        app.router.add_get("/v1/audit", self._audit)
        app.router.add_post("/api/v1/service/{name}/score", self._score)
        app.router.add_post("/api/v1/service/{name}/token", self._exchange)
        app.router.add_get("/moved/v1/services", self._moved)
        app.router.add_get("/portal/v1/services", self._portal)
        return app

    @web.middleware
    async def _door(self, request: web.Request, handler: Any) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append(Seen(request.method, request.path, list(request.query.items()), headers, body))
        name = request.match_info.get("name")
        if "/v1/services" in request.path:
            if self.away:
                return _problem(503, "The control process is away.")
            if headers.get("authorization") != f"Bearer {ADMIN_TOKEN}":
                return _problem(401, "The credential is unknown here: send the admin token.")
            if name is not None and name not in self.services and request.method != "PUT":
                return _problem(404, f"There is no service {name}.")
        return await handler(request)

    async def _list(self, request: web.Request) -> web.Response:
        wanted = [tag.partition("=") for tag in request.query.getall("tag", [])]
        after = request.query.get("after", "")
        names = [
            name
            for name, service in sorted(self.services.items())
            if name > after
            and all(key in service["tags"] and (not eq or service["tags"][key] == value) for key, eq, value in wanted)
        ]
        answer: dict[str, Any] = {"value": [self.services[name] for name in names[: self.page]]}
        if len(names) > self.page:
            answer["next"] = str(request.url.update_query(after=names[self.page - 1]))
        return web.json_response(answer)

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response(self.services[request.match_info["name"]])

    async def _put(self, request: web.Request) -> web.Response:
        name, block = request.match_info["name"], await request.json()
        if "backend" in block:
            errors = [{"path": "backend", "reason": "unknown key; did you mean backends?"}]
            return _problem(400, "The service block is wrong.", errors=errors)
        created = name not in self.services
        return web.json_response(self.add(name, **block), status=201 if created else 200)

    async def _patch(self, request: web.Request) -> web.Response:
        service = self.services[request.match_info["name"]]
        for key, value in (await request.json()).items():
            service[key] = service[key] | value if isinstance(value, dict) and key in service else value
        return web.json_response(service)

    async def _delete(self, request: web.Request) -> web.Response:
        del self.services[request.match_info["name"]]
        return web.Response(status=204)

    async def _status(self, request: web.Request) -> web.Response:
        state = self.states.pop(0) if self.states else self.services[request.match_info["name"]]["state"]
        backend = {"url": "http://127.0.0.1:5001", "state": "healthy", "outstanding": 3, "since": TIME}
        deployments = {"default": {"traffic": 100, "backends": [backend]}}
        answer = {"state": state, "deployments": deployments, "queue": {"length": 7}, "utilization": 0.5}
        return web.json_response(answer)

    async def _keys(self, request: web.Request) -> web.Response:
        if not self.reveals_keys:
            detail = "admin.reveal_keys is `never`: a key is shown once, when it is regenerated."
            return web.json_response({"status": 403, "detail": detail}, status=403)
        pair = self.keys[request.match_info["name"]]
        slots = {slot: self._slot(slot) for slot in pair}
        return web.json_response({f"{slot}_key": value for slot, value in pair.items()} | {"slots": slots})

    async def _key(self, request: web.Request) -> web.Response:
        slot = request.match_info["slot"]
        if request.method == "PATCH":
            self.key_ends[slot] = (await request.json())["expires_at"]
        return web.json_response({"slot": slot, **self._slot(slot)})

    def _slot(self, slot: str) -> dict[str, Any]:
        former = {"id": "k0", "last_used_at": TIME, "uses_24h": 2} if slot == "primary" else None
        return {
            "id": "k1",
            "created_at": TIME,
            "expires_at": self.key_ends.get(slot),
            "grace_until": former and TIME,
            "last_used_at": None,
            "uses_24h": 5,
            "former": former,
            "safe_to_regenerate": slot == "secondary",
            "advice": f"{slot}: what the gateway says",
        }

    async def _master_key(self, request: web.Request) -> web.Response:
        is_done = self.rewrapped or request.method == "POST"
        old = {"id": "m1", "file": "/etc/old.key", "data_keys": 0 if is_done else 1, "is_needed": not is_done}
        answer = {"id": "m2", "file": "/etc/new.key", "data_keys": 2 if is_done else 0, "previous": [old]}
        if request.method == "POST":
            answer["rewrapped"] = 0 if self.rewrapped else 1
            self.rewrapped = True
        return web.json_response(answer)

    async def _regenerate(self, request: web.Request) -> web.Response:
        name, slot = request.match_info["name"], request.match_info["slot"]
        given = await request.json()
        self.issued += 1
        self.keys[name][slot] = given.get("value", f"random-{self.issued}")
        acknowledged = {"workers": 2, "replicas": 1, "of": 1}
        answer = {"slot": slot, "value": self.keys[name][slot], "id": "k2", "grace_until": None}
        return web.json_response(answer | {"acknowledged": acknowledged})

    async def _callers(self, request: web.Request) -> web.Response:
        after = request.query.get("after", "")
        names = [name for name in sorted(self.callers) if name > after]
        shown = [self.callers[name] | {"key": None} for name in names[: self.page]]
        answer: dict[str, Any] = {"value": shown}
        if len(names) > self.page:
            answer["next"] = str(request.url.update_query(after=names[self.page - 1]))
        return web.json_response(answer)

    async def _create_caller(self, request: web.Request) -> web.Response:
        asked = await request.json()
        fields = {"id": "k1", "verbs": ["score"], "rate_limits": [], "expires_at": None, "grace_until": None}
        self.callers[asked["name"]] = fields | asked | {"key": f"{asked['name']}-key", "uses_24h": 7}
        return web.json_response(self.callers[asked["name"]], status=201)

    async def _caller(self, request: web.Request) -> web.Response:
        name = request.match_info["caller"]
        if name not in self.callers:
            return _problem(404, f"diabetes has no caller named {name}.")
        if request.method == "DELETE":
            del self.callers[name]
            return web.Response(status=204)
        if request.method == "PATCH":
            self.callers[name] |= await request.json()
        return web.json_response(self.callers[name])

    async def _regenerate_caller(self, request: web.Request) -> web.Response:
        self.issued += 1
        one = self.callers[request.match_info["caller"]]
        one["key"] = f"random-{self.issued}"
        return web.json_response(one)

    async def _audit(self, request: web.Request) -> web.Response:
        asked = {name: request.query[name] for name in ("actor", "service", "action") if name in request.query}
        entries = [
            entry
            for entry in self.audit
            if entry["id"] > int(request.query.get("after", "0"))
            and all(entry[name] == value for name, value in asked.items())
        ]
        if "newest" in request.query:
            return web.json_response({"value": entries[-int(request.query["newest"]) :]})
        answer: dict[str, Any] = {"value": entries[: self.page]}
        if len(entries) > self.page:
            answer["next"] = str(request.url.update_query(after=entries[self.page - 1]["id"]))
        return web.json_response(answer)

    async def _token(self, _: web.Request) -> web.Response:
        self.issued += 1
        token = f"token-{self.issued}"
        self.tokens.add(token)
        now = datetime.now(UTC)
        refresh_by = now + timedelta(seconds=self.refresh_in)
        expires_at = refresh_by + timedelta(hours=12)
        times = {"refresh_by": _rfc3339(refresh_by), "expires_at": _rfc3339(expires_at)}
        return web.json_response({"token": token, "token_type": "Bearer", **times})

    async def _exchange(self, request: web.Request) -> web.Response:
        if request.headers.get("authorization") != f"Bearer {PROVIDED}":
            return _problem(401, "The token's signature does not verify.")
        return _problem(503, "Away for the moment.") if self.away else await self._token(request)

    async def _revoke(self, request: web.Request) -> web.Response:
        asked = json.loads(await request.read() or b"{}")
        self.tokens.clear()
        return web.json_response({"jti": asked["jti"]} if "jti" in asked else {"revoked_before": TIME})

    async def _signing_keys(self, request: web.Request) -> web.Response:
        if request.method == "POST":
            self.rotations += 1
        names = ((self.rotations + 1, "next"), (self.rotations, "active"))
        return web.json_response({"value": [{"kid": f"kid-{n}", "state": s, "not_after": None} for n, s in names]})

    async def _score(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        service = self.services[name]
        credential = request.headers.get("authorization", "").removeprefix("Bearer ")
        opens = not service["auth_enabled"] and not service["token_auth_enabled"]
        opens |= service["auth_enabled"] and credential in self.keys[name].values()
        opens |= service["token_auth_enabled"] and credential in self.tokens
        if not opens:
            return _problem(401, "The key is not, or no longer, one of this service.")
        if request.content_type != "application/json":
            return web.Response(body=await request.read(), content_type=request.content_type)
        try:
            document = await request.json()
        except ValueError:
            return web.Response(status=400, text="not JSON", headers={"x-request-id": "r-77"})
        return web.json_response(TWO_ROWS if "data" in document else document)

    async def _moved(self, _: web.Request) -> web.Response:
        return web.Response(status=307, headers={"location": f"{self.admin_url}/v1/services"})

    async def _portal(self, _: web.Request) -> web.Response:
        return web.Response(text="<html>", content_type="text/html")


def _problem(status: int, detail: str, **extra: Any) -> web.Response:
    document = {"type": "about:blank", "title": "Refused", "status": status, "detail": detail, "request_id": "r-1"}
    return web.json_response(document | extra, status=status, content_type="application/problem+json")


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
