"""Signed tokens on the wire: the compact form of a JWS (RFC 7515), cut exactly.

What common parsers let pass is refused here, before any key is looked at: loose base64, a name that stands twice, JSON
that is not UTF-8 or holds no object, numbers that JSON does not know, extensions the reader would have to understand.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

MAX_BYTES = 4096

_SEGMENT = re.compile(rb"[A-Za-z0-9_-]+")
_EXTENSIONS = ("crit", "b64")


class TokenError(Exception):
    """The token opens nothing. The text is for the caller: it says why, and repeats nothing of the token."""


@dataclass(frozen=True, slots=True)
class Jws:
    """A token's parts. `message` is what `signature` signs. Nothing is verified yet."""

    header: dict[str, Any]
    message: bytes
    payload: bytes
    signature: bytes

    def claims(self) -> dict[str, Any]:
        """The payload as a JSON object: to be asked for once the signature has verified. Raises TokenError."""
        return _object(self.payload, "claims are")


def parse(token: bytes, most: int = MAX_BYTES) -> Jws:
    """The parts of a token of at most `most` bytes. Raises TokenError."""
    if len(token) > most:
        raise TokenError(f"The token is longer than {most} bytes.")
    segments = token.split(b".")
    if len(segments) != 3:
        raise TokenError("The token is no JWT of three parts.")
    header, payload, signature = map(_decoded, segments)
    fields = _object(header, "header is")
    if any(name in fields for name in _EXTENSIONS):
        raise TokenError("The token demands extensions that are not supported.")
    return Jws(fields, token[: -len(segments[2]) - 1], payload, signature)


def decoded(segment: bytes) -> bytes:
    """The value of exact base64url: no padding, no other characters, no loose bits in the last. Raises ValueError."""
    if _SEGMENT.fullmatch(segment) is None:
        raise ValueError("characters outside base64url")
    value = base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
    if encoded(value) != segment:
        raise ValueError("loose bits at the end of base64url")
    return value


def encoded(value: bytes) -> bytes:
    """base64url without padding."""
    return base64.urlsafe_b64encode(value).rstrip(b"=")


def _decoded(segment: bytes) -> bytes:
    try:
        return decoded(segment)
    except ValueError:
        raise TokenError("The token is not exact base64url.") from None


def _object(text: bytes, which: str) -> dict[str, Any]:
    """A JSON object (RFC 8259): `json` alone would guess other encodings and take NaN."""
    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_refuse)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise TokenError(f"The token's {which} no JSON object.")
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name stands twice")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
