"""What can go wrong between a client and a gateway: one exception for each thing a caller may want to tell apart.

Every text says what is wrong, where, and what to do; none repeats a credential.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

_HOST_MISMATCH = (62, 64)
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""
_EXPIRED = 10


class ClientError(Exception):
    """Whatever this package raises."""


class UnknownGatewayError(ClientError):
    """It is not known which gateway is meant: an address, credential or file is missing or wrong."""


class UnreachableError(ClientError):
    """No answer came. `url`: where it was asked; `cause`: the error underneath."""

    def __init__(self, url: str, cause: BaseException, advice: str) -> None:
        super().__init__(f"{_origin(url)} did not answer: {advice}")
        self.url = url
        self.cause = cause


class RefusedError(ClientError):
    """The admin API answered with an error. `status`: of HTTP; `problem`: the document that came with it."""

    def __init__(self, status: int, problem: Mapping[str, Any], text: str) -> None:
        super().__init__(text)
        self.status = status
        self.problem = problem

    @property
    def request_id(self) -> str | None:
        """Under which the gateway's log has this request."""
        return self.problem.get("request_id")


class WebserviceNotFound(RefusedError):  # noqa: N818  (the name it has in azureml-core)
    """404: the gateway has no service of this name."""


class NotAllowedError(RefusedError):
    """401 or 403: the credential is unknown, or its role may not do this."""


class ScoringError(ClientError):
    """Scoring was answered with something other than 2xx.

    `status`: of HTTP; `headers`: names in lower case; `body`: as received (bytes).
    """

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"Scoring was answered {status} {phrase(status)}: {_words(headers, body)}")
        self.status = status
        self.headers = headers
        self.body = body


class DeploymentTimeoutError(ClientError):
    """The service did not become healthy in the time given. `status`: the last answer of the status operation."""

    def __init__(self, name: str, seconds: float, status: Mapping[str, Any]) -> None:
        state = status.get("state", "unknown")
        super().__init__(
            f"Service {name} is still {state} after {seconds:g} seconds: look at its backends with get_logs(), "
            "or give a larger timeout_seconds."
        )
        self.status = status


def phrase(status: int) -> str:
    """The reason phrase of a status, empty for one that has none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def advice(url: str, error: BaseException, ca_file: str | None) -> str:
    """What a failed connection means and what to do about it. `ca_file` None: the system's authorities were used."""
    certificate = _within(error, ssl.SSLCertVerificationError)
    if isinstance(certificate, ssl.SSLCertVerificationError):
        return _certificate_advice(url, certificate, ca_file)
    if _within(error, ssl.SSLError) is not None:
        text = str(error).upper()
        if "WRONG_VERSION_NUMBER" in text or "RECORD_LAYER_FAILURE" in text or "HTTP_REQUEST" in text:
            return "that port speaks plain HTTP, not TLS. Write the address with http://, or name the TLS port."
        return f"the TLS handshake failed ({_reason(error)}). Both sides need TLS 1.2 or 1.3."
    if _within(error, ConnectionRefusedError) is not None:
        return "nothing listens there (connection refused). Start the gateway, or correct host and port."
    if _within(error, TimeoutError) is not None:
        return "no answer in the time given (timeout_seconds). Look at the gateway's log and at firewalls between."
    if _within(error, socket.gaierror) is not None:
        return f"the host name {urlsplit(url).hostname} is not known. Correct it, or name an address."
    return (
        f"the connection broke before an answer came ({_reason(error)}). If that port speaks TLS, the address needs "
        "https://; otherwise try again and look at the gateway's log."
    )


def _certificate_advice(url: str, error: ssl.SSLCertVerificationError, ca_file: str | None) -> str:
    host = urlsplit(url).hostname
    if error.verify_code in _HOST_MISMATCH:
        return f"its certificate does not hold the name {host}. Use a name it holds, or issue one for {host}."
    if error.verify_code == _EXPIRED:
        return "its certificate has expired. Renew it on the gateway."
    signed_by = f"the CA in {ca_file}" if ca_file else "any CA this system trusts"
    return (
        f"the certificate is not signed by {signed_by} ({error.verify_message}). Give ca_file (--ca-file, "
        "SCOREGATE_CA_FILE): the PEM file of the gateway's CA, which its ready file names."
    )


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what it was made from, outermost first."""
    found: list[BaseException] = []
    step: BaseException | None = error
    while step is not None and step not in found:
        found.append(step)
        step = step.__cause__ or step.__context__
    return found


def _within(error: BaseException, kind: type[BaseException]) -> BaseException | None:
    # The innermost: aiohttp's own errors derive from those of ssl, and lack what they say.
    return next((step for step in reversed(_chain(error)) if isinstance(step, kind)), None)


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _words(headers: Mapping[str, str], body: bytes) -> str:
    """The sentence a person needs from the body of a refusal: a problem's detail, or the text itself, cut."""
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    text = document.get("detail") or document.get("message") if isinstance(document, dict) else None
    if not isinstance(text, str):
        text = body[:500].decode(errors="replace").strip() or "(no body)"
    request_id = headers.get("x-request-id") or headers.get("x-ms-request-id")
    return f"{text} (request id {request_id})" if request_id else text
