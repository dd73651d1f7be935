"""Who is signed in to the portal: random ids in memory, gone with the process and after eight hours."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable

from aiohttp import web

LIFETIME_SECONDS = 8 * 3600
MAX_SESSIONS = 200


class Sessions:
    """Ids are kept as digests. `secure`: the admin port has TLS, so the cookie may say that it needs it."""

    def __init__(self, *, secure: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._secure = secure
        self._clock = clock
        self._expires: dict[bytes, float] = {}
        self.cookie = "__Host-scoregate" if secure else "scoregate"

    def open(self, response: web.StreamResponse) -> None:
        """Start a session with whoever gets this answer."""
        now = self._clock()
        self._expires = {digest: expires for digest, expires in self._expires.items() if expires > now}
        while len(self._expires) >= MAX_SESSIONS:
            del self._expires[next(iter(self._expires))]
        session_id = secrets.token_urlsafe(32)
        self._expires[_digest(session_id)] = now + LIFETIME_SECONDS
        response.set_cookie(
            self.cookie,
            session_id,
            max_age=LIFETIME_SECONDS,
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="Strict",
        )

    def is_open(self, request: web.Request) -> bool:
        """Whether the request belongs to a session."""
        expires = self._expires.get(_digest(request.cookies.get(self.cookie, "")))
        return expires is not None and expires > self._clock()

    def close_all(self) -> None:
        """End every session: what they were opened with opens no more."""
        self._expires.clear()

    def close(self, request: web.Request, response: web.StreamResponse) -> None:
        """End the session of this request."""
        self._expires.pop(_digest(request.cookies.get(self.cookie, "")), None)
        response.del_cookie(self.cookie, path="/", secure=self._secure, httponly=True, samesite="Strict")


def is_same_origin(request: web.Request) -> bool:
    """Whether a form was sent from one of our own pages, by what browsers say of it.

    Tools that say nothing may pass: they bring no cookie that somebody else's page could misuse.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    origin = request.headers.get("Origin")
    return origin is None or origin == f"{request.scheme}://{request.host}"


def _digest(session_id: str) -> bytes:
    return hashlib.sha256(session_id.encode("utf-8", "surrogateescape")).digest()
