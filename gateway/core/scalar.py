"""Texts that a configuration holds, by kind: what each must look like, and the one form in which it is kept.

A validator belongs here if it judges one text by itself; rules that span keys are in the class that has these keys.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, WithJsonSchema

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HOST_AND_PORT = re.compile(r"(?:[\w.][-\w.]*|\[[0-9A-Fa-f:.]+\])(?::.+)?", re.ASCII)


def _split_url(value: str) -> SplitResult | None:
    """The parts of an http or https URL whose host can be one; None otherwise."""
    try:
        parts = urlsplit(value)
    except ValueError:
        return None
    host = parts.netloc.rpartition("@")[2]
    return parts if parts.scheme in _DEFAULT_PORTS and _HOST_AND_PORT.fullmatch(host) else None


def _port(parts: SplitResult, value: str) -> int | None:
    try:
        return parts.port
    except ValueError:
        raise ValueError(f"{value!r} has a port that is no number from 1 to 65535") from None


def _backend_url(value: str) -> str:
    parts = _split_url(value)
    if parts is None:
        raise ValueError(f"{value!r} is no http:// or https:// URL with a host, such as http://127.0.0.1:5001")
    url = f"{parts.scheme}://{parts.netloc}"
    if value.removesuffix("/").lower() != url.lower() or "@" in parts.netloc:
        raise ValueError(f"{value!r} must end after host and port; put the model's path into scoring_path")
    if _port(parts, value) == 0:
        raise ValueError(f"{value!r} has port 0; name the port the model server listens on")
    return url


def _issuer(value: str) -> str:
    parts = _split_url(value)
    if parts is None or "?" in value or "#" in value or "@" in parts.netloc:
        raise ValueError(f"{value!r} is no issuer: write it as the tokens do, as https://login.example.com/realms/ml")
    if parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise ValueError(f"{value!r} is not https: keys that anybody on the way could exchange prove nothing")
    return value


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError as error:
        raise ValueError(f"{value!r} is no address range such as 10.0.0.0/8 ({error})") from None


def _origin(value: str) -> str:
    if value == "*":
        return value
    parts = _split_url(value)
    if parts is None or value != f"{parts.scheme}://{parts.netloc}" or "@" in value:
        raise ValueError(
            f"{value!r} is no origin; write scheme, host and port only, as https://app.example.com, or '*'"
        )
    # Browsers leave the scheme's own port out, and an origin must match exactly.
    is_default = _port(parts, value) == _DEFAULT_PORTS[parts.scheme]
    return (value.rpartition(":")[0] if is_default else value).lower()


def _header_name(value: str) -> str:
    if not _TOKEN.fullmatch(value):
        raise ValueError(f"{value!r} is no header or method name")
    return value


def _path(value: str) -> str:
    if not value.startswith("/") or re.search(r"[^!-~]|[?#]", value):
        raise ValueError(f"{value!r} is no path: it starts with / and has no query, no space and no raw non-ASCII")
    return value


def _host(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?", value):
        raise ValueError(f"{value!r} is no host name; leave scheme, port and path out")
    return value.lower()


def _header_value(value: str) -> str:
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]", value):
        raise ValueError("a header value may not have control characters, nor any beyond Latin-1")
    return value


def _like(pattern: str) -> WithJsonSchema:
    """What the published schemas say of a text: enough to show a slip; the validator says the rest, in words."""
    return WithJsonSchema({"type": "string", "pattern": pattern})


_AUTHORITY = r"([A-Za-z0-9_.][-A-Za-z0-9_.]*|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"

BackendUrl = Annotated[str, AfterValidator(_backend_url), _like(rf"^[Hh][Tt][Tt][Pp][Ss]?://{_AUTHORITY}/?$")]
Issuer = Annotated[str, AfterValidator(_issuer)]
Network = Annotated[str, AfterValidator(_network), _like(r"^[0-9A-Fa-f:.]+(/[0-9.]+)?$")]
Origin = Annotated[str, AfterValidator(_origin), _like(rf"^(\*|https?://{_AUTHORITY})$")]
Token = Annotated[str, AfterValidator(_header_name), _like(r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$")]
Path = Annotated[str, AfterValidator(_path), _like(r'^/[!"$->@-~]*$')]
Host = Annotated[str, AfterValidator(_host), _like(r"^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?$")]
HeaderValue = Annotated[str, AfterValidator(_header_value)]
