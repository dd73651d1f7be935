"""Blocking HTTP/1.1 on `http.client`: connections kept between requests, redirects and proxies never followed."""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import time
from collections import deque
from urllib.parse import urlsplit

from gateway.client.address import tls_context
from gateway.client.error import UnreachableError, advice
from gateway.client.message import USER_AGENT, Answer, Request

MAX_IDLE_SECONDS = 30.0
"""Below the gateway's own keep-alive, so that we close first and no request meets a closing connection."""

_Idle = tuple[float, http.client.HTTPConnection]


class Transport:
    """Sends requests, from any thread. `timeout_seconds`: the longest silence, connecting included."""

    def __init__(self, ca_file: str | None, timeout_seconds: float) -> None:
        self._ca_file = ca_file
        self._timeout_seconds = timeout_seconds
        self._context: ssl.SSLContext | None = None
        self._idle: dict[tuple[str, str], deque[_Idle]] = {}

    def send(self, request: Request) -> Answer:
        """The answer, whatever its status. Raises UnreachableError, UnknownGatewayError for a bad ca_file."""
        parts = urlsplit(request.url)
        origin = (parts.scheme, parts.netloc)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection = None
        try:
            connection = self._take(origin) or self._connect(parts.scheme, parts.hostname or "", parts.port)
            answer, reusable = _exchange(connection, target, request)
        except (OSError, http.client.HTTPException) as error:
            if connection is not None:
                connection.close()
            raise UnreachableError(request.url, error, advice(request.url, error, self._ca_file)) from error
        if reusable:
            self._idle.setdefault(origin, deque()).append((time.monotonic(), connection))
        else:
            connection.close()
        return answer

    def close(self) -> None:
        """Close what is kept."""
        for idle in self._idle.values():
            while idle:
                idle.pop()[1].close()

    def _connect(self, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
        if scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=self._timeout_seconds)
        if self._context is None:
            self._context = tls_context(self._ca_file)
        return http.client.HTTPSConnection(host, port, timeout=self._timeout_seconds, context=self._context)

    def _take(self, origin: tuple[str, str]) -> http.client.HTTPConnection | None:
        idle = self._idle.get(origin, deque())
        while True:
            try:
                since, connection = idle.pop()
            except IndexError:
                return None
            if time.monotonic() - since < MAX_IDLE_SECONDS and not _has_ended(connection.sock):
                return connection
            connection.close()


def _exchange(connection: http.client.HTTPConnection, target: str, request: Request) -> tuple[Answer, bool]:
    headers = {"user-agent": USER_AGENT.encode()}
    headers |= {name: value.encode() for name, value in request.headers.items()}
    try:
        connection.request(request.method, target, request.body or None, headers)
    except (BrokenPipeError, ConnectionResetError):
        # A gateway may refuse before it has read the whole body, and close: its answer says why.
        response = _early_answer(connection)
    else:
        response = connection.getresponse()
    fields: dict[str, str] = {}
    for name, value in response.getheaders():
        key = name.lower()
        fields[key] = f"{fields[key]}, {value}" if key in fields else value
    body = response.read()
    return Answer(response.status, fields, body), not response.will_close


def _early_answer(connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
    if connection.sock is None:
        raise ConnectionResetError("the connection was reset")
    return connection.getresponse()


def _has_ended(connection: socket.socket | None) -> bool:
    """Whether a connection at rest has something to read: its end, or bytes nobody asked for."""
    if connection is None:
        return True
    watcher = select.poll()
    watcher.register(connection, select.POLLIN)
    return bool(watcher.poll(0))
