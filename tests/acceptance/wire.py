"""HTTP as a client speaks it, over verified TLS: one kept connection, or bytes written by hand."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Self
from urllib.parse import urlsplit

TIMEOUT = 15


@dataclass(frozen=True)
class Answer:
    """What came back. Names of `headers` in lower case; repeated fields joined by a comma."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


class Wire:
    """One connection, kept between requests and opened again when the other side closed it."""

    def __init__(self, url: str, ca_file: str | None, context: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme == "https":
            context = context or trusting(ca_file)
            self._connection = http.client.HTTPSConnection(parts.netloc, timeout=TIMEOUT, context=context)
        else:
            self._connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        self._connection.request(method, path, body, dict(headers or {}))
        response = self._connection.getresponse()
        fields: dict[str, str] = {}
        for name, value in response.getheaders():
            lower = name.lower()
            fields[lower] = f"{fields[lower]}, {value}" if lower in fields else value
        return Answer(response.status, response.reason, fields, response.read())

    @property
    def tls(self) -> ssl.SSLSocket:
        """The TLS connection, made now if need be."""
        if self._connection.sock is None:
            self._connection.connect()
        assert isinstance(self._connection.sock, ssl.SSLSocket)
        return self._connection.sock


@cache
def trusting(ca_file: str | None) -> ssl.SSLContext:
    """A client's context that verifies against this CA alone; made once, as clients do."""
    return ssl.create_default_context(cafile=ca_file)


def spoken(url: str, ca_file: str, lines: list[str], body: bytes = b"") -> tuple[str, list[str], bytes]:
    """Send these lines as they are, and read to the end: status line, header lines, body."""
    parts = urlsplit(url)
    with (
        socket.create_connection((parts.hostname, parts.port), timeout=TIMEOUT) as plain,
        trusting(ca_file).wrap_socket(plain, server_hostname=parts.hostname) as connection,
    ):
        connection.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode() + body)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, rest = received.partition(b"\r\n\r\n")
    first, *fields = head.decode().split("\r\n")
    return first, fields, rest


def bearer(credential: str) -> dict[str, str]:
    """The header that carries a key or a token."""
    return {"Authorization": f"Bearer {credential}"}
