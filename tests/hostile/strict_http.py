"""HTTP/1.1 read by its letter; what departs from it is a MalformedError. No product code has a part in it."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2}) ([\x20-\x7e]*)")
_REQUEST_LINE = re.compile(rb"([A-Z-]+) (/[\x21-\x22\x24-\x7e]*) HTTP/1\.1")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\x80-\xff\t]*)")
_SIZE = re.compile(rb"[0-9a-f]{1,8}")
_LENGTH = re.compile(rb"[0-9]{1,19}")
MAX_HEAD = 2**20


class MalformedError(Exception):
    """These bytes are no HTTP message."""


class EndedError(Exception):
    """The connection ended between two messages: nothing is missing."""


class BrokenError(Exception):
    """The connection ended, or fell silent, within a message: whoever reads it knows that a part is missing."""


Fields = list[tuple[str, bytes]]


@dataclass(frozen=True)
class Answer:
    """An answer, or an interim one. Names of `fields` in lower case.

    `by_close`: only the end of the connection ends it. `is_old`: HTTP/1.0.
    """

    status: int
    fields: Fields
    body: bytes = b""
    by_close: bool = False
    is_old: bool = False

    def values(self, name: str) -> list[bytes]:
        return [value for known, value in self.fields if known == name]

    @property
    def closes(self) -> bool:
        """Whether it says that no other request is read on its connection; one of HTTP/1.0 says so by silence."""
        words = [value.lower() for value in self.values("connection")]
        return b"close" in words or (self.is_old and b"keep-alive" not in words)


@dataclass(frozen=True)
class Request:
    """A request as it reached a server. Names of `fields` in lower case."""

    method: str
    target: bytes
    fields: Fields
    body: bytes

    def values(self, name: str) -> list[bytes]:
        return [value for known, value in self.fields if known == name]


async def read_answer(reader: asyncio.StreamReader, *, to_head: bool = False) -> Answer:
    """The next answer, interim ones included. Raises EndedError, BrokenError or MalformedError."""
    first, fields = await _head(reader)
    match = _STATUS_LINE.fullmatch(first)
    if match is None:
        raise MalformedError(f"status line {first!r}")
    is_old, status = match[1] == b"0", int(match[2])
    if status < 200:
        if _framing(fields) != (None, False):
            raise MalformedError("an interim answer with a body")
        return Answer(status, fields)
    length, chunked = _framing(fields)
    if to_head or status in (204, 304):
        return Answer(status, fields, is_old=is_old)
    if length is None and not chunked:
        return Answer(status, fields, await _to_the_end(reader), by_close=True, is_old=is_old)
    return Answer(status, fields, await _body(reader, length), is_old=is_old)


async def read_request(reader: asyncio.StreamReader) -> Request:
    """The next request. Raises EndedError, BrokenError or MalformedError."""
    first, fields = await _head(reader)
    match = _REQUEST_LINE.fullmatch(first)
    if match is None:
        raise MalformedError(f"request line {first!r}")
    length, chunked = _framing(fields)
    body = await _body(reader, length) if chunked or length else b""
    return Request(match[1].decode(), match[2], fields, body)


async def _head(reader: asyncio.StreamReader) -> tuple[bytes, Fields]:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            raise EndedError from None
        raise BrokenError(f"after {error.partial[:60]!r}") from None
    except asyncio.LimitOverrunError:
        raise MalformedError("an endless head") from None
    except ConnectionError:
        raise EndedError from None
    first, *lines = head[:-4].split(b"\r\n")
    return first, [_field(line) for line in lines]


def _field(line: bytes) -> tuple[str, bytes]:
    match = _FIELD.fullmatch(line)
    if match is None:
        raise MalformedError(f"field {line[:80]!r}")
    return match[1].decode().lower(), match[2].rstrip(b" \t")


def _framing(fields: Fields) -> tuple[int | None, bool]:
    """(length, whether chunked): at most one field may say it, once."""
    lengths = [value for name, value in fields if name == "content-length"]
    codings = [value for name, value in fields if name == "transfer-encoding"]
    if len(lengths) + len(codings) > 1:
        raise MalformedError(f"framed twice: {lengths} {codings}")
    if codings and codings != [b"chunked"]:
        raise MalformedError(f"transfer coding {codings[0]!r}")
    if lengths and not _LENGTH.fullmatch(lengths[0]):
        raise MalformedError(f"length {lengths[0]!r}")
    return (int(lengths[0]) if lengths else None), bool(codings)


async def _body(reader: asyncio.StreamReader, length: int | None) -> bytes:
    try:
        return await reader.readexactly(length) if length is not None else await _chunks(reader)
    except (asyncio.IncompleteReadError, ConnectionError):
        raise BrokenError("within a body") from None
    except asyncio.LimitOverrunError:
        raise MalformedError("an endless chunk size or trailer") from None


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    """A chunked body as this gateway writes one: no extensions, no trailers."""
    parts = []
    while True:
        line = await reader.readuntil(b"\r\n")
        if not _SIZE.fullmatch(line[:-2]):
            raise MalformedError(f"chunk size {line!r}")
        size = int(line, 16)
        parts.append(await reader.readexactly(size))
        if await reader.readexactly(2) != b"\r\n":
            raise MalformedError("a chunk without its line end, or a trailer")
        if size == 0:
            return b"".join(parts)


async def _to_the_end(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        raise BrokenError("reset within a body that ends with the connection") from None
