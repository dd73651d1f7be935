"""The demo's own two requests: whether the model server is up, and a score through the gateway."""

from __future__ import annotations

import http.client
import ssl
import time
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

from gateway.demo.error import DemoError
from gateway.demo.ports import HOST

_FIRST_SCORE_SECONDS = 15.0


def answers(port: int) -> bool:
    """Whether `GET /` on this port of 127.0.0.1 gives a 200."""
    with closing(http.client.HTTPConnection(HOST, port, timeout=2)) as connection:
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False


def score(ready: dict[str, Any], service: str, document: str) -> str:
    """The gateway's answer to `document` with the primary key, over TLS with the development CA.

    A 503 is tried again for some seconds: the gateway may not have seen its backend answer yet. Raises DemoError.
    """
    deadline = time.monotonic() + _FIRST_SCORE_SECONDS
    status, answer = _post(ready, service, document)
    while status == 503 and time.monotonic() < deadline:
        time.sleep(0.1)
        status, answer = _post(ready, service, document)
    if status != 200:
        raise DemoError(f"the gateway answered the demo's own request with {status}: {answer[:500]}")
    return answer


def _post(ready: dict[str, Any], service: str, document: str) -> tuple[int, str]:
    uri = urlsplit(ready["services"][service]["scoring_uri"])
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {ready['services'][service]['primary_key']}",
    }
    context = ssl.create_default_context(cafile=ready["ca_file"])
    with closing(http.client.HTTPSConnection(uri.netloc, timeout=10, context=context)) as connection:
        try:
            connection.request("POST", uri.path, document.encode(), headers)
            response = connection.getresponse()
            return response.status, response.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise DemoError(f"the gateway does not answer at {uri.netloc}: {error}") from None
