"""One hostile request on its way: sent, everything that comes back read by the letter, and judged with what arrived."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from case import Case, Then
from recorder import HOST
from strict_http import MAX_HEAD, Answer, BrokenError, EndedError, MalformedError, Request, read_answer

PATIENCE = 12.0
AT_ONCE = 250
"""Runs at the same time."""
PAUSE = 0.002
"""Between two pieces, so that they arrive as two."""

OURS = {
    "x-scoregate-caller": b"probe/primary",
    "x-scoregate-auth-type": b"key",
    "x-forwarded-for": HOST.encode(),
}
ONCE = ("host", "x-request-id", "x-forwarded-host", "x-forwarded-proto", "x-scoregate-key-id", *OURS)
NEVER = frozenset(
    [
        "authorization",
        "connection",
        "expect",
        "forwarded",
        "http2-settings",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
        "x-real-ip",
    ]
)


@dataclass(frozen=True)
class Door:
    """Where runs go: a gateway or a proxy, plain or with TLS. `names_caller`: it tells the backend who is calling.

    `patience`: seconds without an answer and without an end after which a connection counts as held for ever.
    """

    port: int
    key: str
    wrong_key: str
    context: ssl.SSLContext | None = None
    names_caller: bool = True
    patience: float = PATIENCE

    @property
    def transport(self) -> str:
        return "tls" if self.context else "plain"


@dataclass
class Run:
    """A case, through a door, with a good or a wrong credential, on a fresh or a kept connection."""

    case: Case
    door: Door
    good: bool
    kept: bool
    answers: list[Answer] = field(default_factory=list)
    ended: str = ""
    """How it ended: `end`, `break`, `silence` or what was malformed."""

    @property
    def name(self) -> str:
        credential, state = "good" if self.good else "bad", "kept" if self.kept else "fresh"
        return f"{self.case.name}.{self.door.transport}.{credential}.{state}"

    # --- the conversation

    async def __call__(self) -> None:
        try:
            async with asyncio.timeout(self.door.patience):
                await self._converse()
        except TimeoutError:
            self.ended = "silence"

    async def _converse(self) -> None:
        door = self.door
        name = "localhost" if door.context else None
        reader, writer = await asyncio.open_connection(
            HOST, door.port, ssl=door.context, server_hostname=name, limit=MAX_HEAD
        )
        try:
            if self.kept:
                writer.write(self._good_request("first"))
                await read_answer(reader)
            await self._send(writer)
            if self.case.then in (Then.LEAVE, Then.RESET):
                self._leave(writer)
            else:
                await self._listen(reader, writer)
        finally:
            _abort(writer)

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            for piece in self._pieces():
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(PAUSE)

    def _pieces(self) -> Iterable[bytes]:
        for piece in self.case.pieces:
            data = self._filled_in(piece, "", self.good)
            step = self.case.cut or len(data) or 1
            yield from (data[at : at + step] for at in range(0, len(data), step))

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.case.then is Then.HALF_CLOSE and writer.can_write_eof():
                writer.write_eof()
            elif self.case.then is Then.HALF_CLOSE:
                writer.close()
            for _ in self.case.answers:
                await self._read(reader)
            if self.case.then is Then.ASK:
                writer.write(self._good_request("after"))
            while True:
                await self._read(reader)
        except EndedError:
            self.ended = "end"
        except BrokenError:
            self.ended = "break"
        except MalformedError as error:
            self.ended = str(error)
        except (ConnectionError, ssl.SSLError):
            self.ended = "end"

    async def _read(self, reader: asyncio.StreamReader) -> None:
        answer = await read_answer(reader, to_head=self.case.to_head and not self.answers)
        if answer.status >= 200:
            self.answers.append(answer)

    def _leave(self, writer: asyncio.StreamWriter) -> None:
        if self.case.then is Then.RESET:
            sock = writer.get_extra_info("socket")
            if sock is not None:  # else the gateway was first
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            _abort(writer)
        else:
            writer.close()

    def _good_request(self, suffix: str) -> bytes:
        close = b"" if suffix == "first" else b"Connection: close\r\n"
        data = (
            b"POST @TARGET@ HTTP/1.1\r\nHost: @HOST@\r\nAuthorization: Bearer @KEY@\r\n%bContent-Length: 4\r\n\r\ngood"
        )
        return self._filled_in(data % close, "-" + suffix, good=True)

    def _filled_in(self, data: bytes, suffix: str, good: bool) -> bytes:
        target = f"/api/v1/service/probe/score?id={self.name}{suffix}"
        data = data.replace(b"@TARGET@", target.encode())
        data = data.replace(b"@KEY@", (self.door.key if good else self.door.wrong_key).encode())
        return data.replace(b"@HOST@", f"{HOST}:{self.door.port}".encode())

    # --- the judgement

    def problems(self, seen: Mapping[str, Sequence[Request]]) -> list[str]:
        """What went wrong, in words; `seen`: what reached the backend, by id."""
        own = list(seen.get(self.name, ()))
        found = list(self._wrong_answers())
        found += self._wrong_requests(own)
        others = [request for end in ("-first", "-after") for request in seen.get(self.name + end, ())]
        for request in (*own, *others):
            found += unclean(request, names_caller=self.door.names_caller)
        if any(request.body != b"good" for request in others):
            found.append("a good request beside it reached the backend changed")
        return found

    def _wrong_answers(self) -> Iterable[str]:
        case = self.case
        if self.ended == "silence":
            yield "neither answered nor closed"
        elif self.ended not in ("", "end", "break"):
            yield f"malformed answer: {self.ended}"
        if case.then in (Then.LEAVE, Then.RESET, Then.HALF_CLOSE):
            return
        if self.ended == "break":
            yield "an answer was cut"
        expected = case.expected(good=self.good)
        own, after = self.answers[: len(expected)], self.answers[len(expected) :]
        for number, statuses in enumerate(expected):
            got = own[number].status if number < len(own) else 0
            if got not in statuses:
                yield f"answer {number + 1} was {got or 'the end'}, expected {sorted(statuses)}"
        yield from self._wrong_after(own, after)

    def _wrong_after(self, own: list[Answer], after: list[Answer]) -> Iterable[str]:
        if self.case.then is not Then.ASK:
            if after:
                yield "answers nobody asked for"
            return
        if [answer.body for answer in after] not in ([], [f"{self.name}-after|good".encode()]):
            yield f"the request after it got {[(answer.status, answer.body[:60]) for answer in after]}"
        if own and after and own[-1].closes:
            yield "a request was served after 'Connection: close'"
        if own and not after and len(own) == len(self.case.expected(good=self.good)) and not own[-1].closes:
            yield "the connection ended without 'Connection: close'"

    def _wrong_requests(self, own: list[Request]) -> Iterable[str]:
        bodies = [request.body for request in own]
        allowed = list(self.case.bodies) if self.good else []
        may_be_fewer = self.case.then in (Then.LEAVE, Then.RESET, Then.HALF_CLOSE)
        if bodies != allowed and not (may_be_fewer and bodies == allowed[: len(bodies)]):
            yield f"the backend saw {[body[:60] for body in bodies]}, allowed was {[body[:60] for body in allowed]}"


def unclean(request: Request, *, names_caller: bool) -> Iterable[str]:
    """What a backend should not have been told, or was not."""
    names = [name for name, _ in request.fields]
    yield from (f"the backend was sent {name}" for name in names if name in NEVER or "_" in name)
    yield from (f"the backend was sent {name}: {value!r}" for name, value in request.fields if b"spoofed" in value)
    if not names_caller:
        return
    yield from (f"the backend was sent {name} {names.count(name)} times" for name in ONCE if names.count(name) != 1)
    yield from (
        f"the backend was told another {name}" for name, value in OURS.items() if request.values(name) != [value]
    )
    known = {*ONCE, "x-scoregate-key-id"}
    yield from (
        f"the backend was sent {name}" for name in names if name.startswith("x-scoregate-") and name not in known
    )


def _abort(writer: asyncio.StreamWriter) -> None:
    # asyncio's transport under TLS has forgotten its protocol once the other side was first.
    with contextlib.suppress(AttributeError):
        writer.transport.abort()


async def drive(runs: Sequence[Run]) -> None:
    """All runs, many at a time."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(run: Run) -> None:
        async with gate:
            await run()

    await asyncio.gather(*map(one, runs))


def runs_through(door: Door, cases: Iterable[Case]) -> list[Run]:
    """Each case with both credentials, on a fresh and on a kept connection."""
    return [Run(case, door, good, kept) for case in cases for good in (True, False) for kept in (False, True)]
