"""`Idempotency-Key`: a change that is sent again with the same key and body is answered again and not made again.

In memory, for ten minutes; a change that failed is not kept, it may be tried again.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from gateway.control.api.problem import ACTOR, Handler, operation_of
from gateway.control.refusal import Fault, Refused

KEEP_SECONDS = 600.0
MAX_KEY_CHARACTERS = 255
MAX_ENTRIES = 1000
MAX_BYTES = 32 << 20
KEPT_HEADERS = ("Content-Type", "ETag", "Location")


@dataclass(slots=True)
class _Entry:
    fingerprint: bytes
    expires: float
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    status: int | None = None
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    def answer(self) -> web.Response:
        """The answer, once more."""
        assert self.status is not None
        headers = {**self.headers, "Idempotency-Replayed": "true"}
        return web.Response(body=self.body, status=self.status, headers=headers)


class Replay:
    """Holds the middleware (`repeat`). Bounded in entries and bytes: the oldest go first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    @web.middleware
    async def repeat(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer from memory, or remember."""
        operation = operation_of(request)
        key = request.headers.get("Idempotency-Key")
        if key is None or operation is None or not operation.mutates:
            return await handler(request)
        if not 0 < len(key) <= MAX_KEY_CHARACTERS:
            reason = f"has {len(key)} characters; 1 to {MAX_KEY_CHARACTERS} are possible"
            raise Refused(400, f"Idempotency-Key {reason}.", (Fault("Idempotency-Key", reason),))
        entry = self._entry(f"{request[ACTOR]} {key}", await _fingerprint(request))
        async with entry.lock:
            if entry.status is not None:
                return entry.answer()
            response = await handler(request)
            self._keep(entry, response)
            return response

    def _entry(self, key: str, fingerprint: bytes) -> _Entry:
        now = self._clock()
        self._forget(now)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(fingerprint, now + KEEP_SECONDS)
        elif entry.fingerprint != fingerprint:
            raise Refused(422, "This Idempotency-Key was used for another request: take a new key for each change.")
        return entry

    def _keep(self, entry: _Entry, response: web.StreamResponse) -> None:
        if isinstance(response, web.Response) and response.status < 300:
            body = response.body
            entry.body = body if isinstance(body, bytes) else b""
            entry.headers = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
            entry.status = response.status

    def _forget(self, now: float) -> None:
        size = sum(len(entry.body) for entry in self._entries.values())
        while self._entries:
            oldest = next(iter(self._entries.values()))
            if oldest.expires > now and len(self._entries) < MAX_ENTRIES and size <= MAX_BYTES:
                break
            size -= len(oldest.body)
            self._entries.popitem(last=False)


async def _fingerprint(request: web.Request) -> bytes:
    body = await request.read()
    return hashlib.sha256(b"\0".join((request.method.encode(), request.path_qs.encode(), body))).digest()
