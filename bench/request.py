"""The request that every server gets, and the answer that shows it is set up as it should be."""

from __future__ import annotations

import http.client
import ssl
from dataclasses import dataclass, replace

from bench.peers.peer import DOCUMENT, KEY, Running

CIPHER = "ECDHE-ECDSA-AES128-GCM-SHA256"
"""TLS 1.2 and this cipher, as every client here asks for: so that every server pays for the same."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked, and the status that answers it.

    `different`: every head has a value of its own in the field `varying`; `services`: how many are asked in turn;
    `by_token`: with the token of the server in place of `credential`.
    """

    different: bool = True
    varying: str = "x-request-id"
    status: int = 200
    method: str = "POST"
    credential: str = KEY
    by_token: bool = False
    body: bytes = DOCUMENT
    fields: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)
    services: int = 1

    def headers(self, running: Running) -> dict[str, str]:
        """All fields that stand in it, but Host, Content-Length and the request id."""
        credential = running.token if self.by_token else self.credential
        return dict(self.fields) | ({"Authorization": f"Bearer {credential}"} if credential else {})


def head(running: Running, request: Request, *, last: bool = False) -> bytes:
    """The bytes before the body, for clients that speak for themselves; `last`: the connection ends with the answer."""
    lines = [f"{request.method} {running.path} HTTP/1.1", f"Host: 127.0.0.1:{running.port}"]
    lines += [f"{name}: {value}" for name, value in request.headers(running).items()]
    lines += [f"Content-Length: {len(request.body)}", *(["Connection: close"] if last else []), "", ""]
    return "\r\n".join(lines).encode()


def _client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHER)
    return context


CLIENT = _client_context()
"""A client that asks for TLS 1.2; one for all, since a session can be resumed only where it began."""


def check(running: Running, request: Request) -> None:
    """Raises RuntimeError if the server does not answer as it should, or opens without the right credential."""
    for _ in range(2):  # a rate limit of one lets the first pass
        status = _status(running, request)
    if status != request.status:
        raise RuntimeError(f"{running.name} answers {status} where {request.status} is due: {running.url}")
    if request.status == 200 and request.credential:
        wrong = replace(request, credential=f"{request.credential[:-1]}?", by_token=False)
        if _status(running, wrong) < 400:
            raise RuntimeError(f"{running.name} opens with a wrong key: the comparison would not be fair")


def _status(running: Running, request: Request) -> int:
    if running.tls:
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            "127.0.0.1", running.port, timeout=60, context=CLIENT
        )
    else:
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
    try:
        connection.request(request.method, running.path, request.body or None, request.headers(running))
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()
