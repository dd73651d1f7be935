"""Where a gateway's admin API is and what opens it, and the requests made of that."""

from __future__ import annotations

import json
import os
import re
import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from gateway.client.error import ClientError, UnknownGatewayError
from gateway.client.message import Request

ADMIN_URL = "SCOREGATE_ADMIN_URL"
TOKEN = "SCOREGATE_ADMIN_TOKEN"  # noqa: S105  (the name of a variable)
TOKEN_FILES = ("SCOREGATE_ADMIN_TOKEN_FILE", "SCOREGATE_TOKEN_FILE")
CA_FILE = "SCOREGATE_CA_FILE"

TIMEOUT_SECONDS = 120.0
"""The longest silence of a gateway, unless said otherwise: twice its own default deadline for scoring."""

_UNSENDABLE = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Address:
    """A gateway's admin API: its URL without path, the bearer credential, its CA as PEM file (None: the system's)."""

    admin_url: str
    credential: str = field(repr=False)
    ca_file: str | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.admin_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise UnknownGatewayError("The admin URL is no https:// or http:// URL such as https://127.0.0.1:8444.")
        object.__setattr__(self, "admin_url", self.admin_url.rstrip("/").removesuffix("/v1"))
        if not self.credential:
            raise UnknownGatewayError("The admin credential is empty: give the admin token of the gateway.")
        bearer(self.credential)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: list[tuple[str, str]] | None = None,
        document: Any = None,
        content_type: str = "application/json",
    ) -> Request:
        """A request to the admin API. `path` follows `/v1` and is quoted already; `document` is sent as JSON.

        Anything but GET carries an Idempotency-Key, so that whoever repeats it does not do it twice.
        """
        headers = {"accept": "application/json", "authorization": bearer(self.credential)}
        body = b""
        if document is not None:
            headers["content-type"] = content_type
            body = json.dumps(document).encode()
        if method != "GET":
            headers["idempotency-key"] = secrets.token_hex(16)
        tail = f"?{urlencode(query)}" if query else ""
        return Request(method, f"{self.admin_url}/v1{path}{tail}", headers, body)


class Located:
    """What both kinds of workspace are made from: an address.

    `admin_url`: such as `https://127.0.0.1:8444`; `credential`: the admin token or an OIDC token; `ca_file`: PEM of the
    gateway's CA, None for the system's. Raises UnknownGatewayError.
    """

    def __init__(self, admin_url: str, credential: str, ca_file: str | None = None) -> None:
        self.address = Address(admin_url, credential, ca_file)

    @classmethod
    def from_environment(cls) -> Self:
        """By SCOREGATE_ADMIN_URL, SCOREGATE_ADMIN_TOKEN_FILE or SCOREGATE_ADMIN_TOKEN, SCOREGATE_CA_FILE."""
        return cls.at(from_environment(os.environ))

    @classmethod
    def from_ready_file(cls, path: str | Path) -> Self:
        """The gateway that wrote this ready file (`var/ready.json`)."""
        return cls.at(from_ready_file(path))

    @classmethod
    def at(cls, address: Address) -> Self:
        """The gateway at an address."""
        return cls(address.admin_url, address.credential, address.ca_file)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address.admin_url!r})"


def bearer(credential: str) -> str:
    """The Authorization field. Raises ClientError, without the value, for one that no header can carry."""
    if _UNSENDABLE.search(credential):
        raise ClientError("The credential has a line break or another control character: it cannot be sent.")
    return f"Bearer {credential}"


def from_environment(environ: Mapping[str, str]) -> Address:
    """The gateway that the variables above name. Raises UnknownGatewayError."""
    url = environ.get(ADMIN_URL)
    if not url:
        raise UnknownGatewayError(f"{ADMIN_URL} is not set: give the admin address, such as https://127.0.0.1:8444.")
    return Address(url, environment_credential(environ), environ.get(CA_FILE) or None)


def environment_credential(environ: Mapping[str, str]) -> str:
    """The admin credential the environment names; a file goes before a value. Raises UnknownGatewayError."""
    for name in TOKEN_FILES:
        if environ.get(name):
            return read_credential(environ[name])
    if environ.get(TOKEN):
        return environ[TOKEN].strip()
    raise UnknownGatewayError(f"No admin credential: set {TOKEN_FILES[0]} to the file that holds the admin token.")


def from_ready_file(path: str | Path) -> Address:
    """The gateway that wrote this ready file. Raises UnknownGatewayError when it is missing or no ready file."""
    text = _read(path, "ready file", "It is there while a gateway runs that was started with --ready-file.")
    try:
        ready = json.loads(text)
        url, token_file, ca_file = ready["admin_url"], ready["admin_token_file"], ready.get("ca_file")
    except (ValueError, TypeError, KeyError):
        raise UnknownGatewayError(f"{path} is no ready file: it has no admin_url and admin_token_file.") from None
    return Address(url, read_credential(token_file), ca_file)


def read_credential(path: str | Path) -> str:
    """The credential in a file, without the line end. Raises UnknownGatewayError."""
    credential = _read(path, "token file", "It holds the admin token, one line.").strip()
    if not credential:
        raise UnknownGatewayError(f"The token file {path} is empty: it should hold the admin token, one line.")
    return credential


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Verifies against `ca_file` alone, or the system's authorities. Raises UnknownGatewayError for a bad file."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        raise UnknownGatewayError(f"The ca_file {ca_file} holds no PEM certificate.") from None
    except OSError as error:
        raise UnknownGatewayError(f"The ca_file {ca_file} cannot be read: {error.strerror}.") from None


def _read(path: str | Path, kind: str, hint: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UnknownGatewayError(f"The {kind} {path} is no text. {hint}") from None
    except OSError as error:
        raise UnknownGatewayError(f"The {kind} {path} cannot be read: {error.strerror}. {hint}") from None
