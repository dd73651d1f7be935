"""Callers of a world: they send in pieces, pipeline, wait for 100-continue, read slowly, leave, or send nonsense."""

from __future__ import annotations

import asyncio
import math
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actor_http import CutError, NotHttpError, Socket
from ledger import Request, make_request
from virtual_time import Process

if TYPE_CHECKING:
    from world import World

CONTINUE_PATIENCE = 0.3
NONSENSE = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/1.1\r\nhost: a\r\nhost : b\r\n\r\n",
    b"POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\nabc",
    b"POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc",
    b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nho",
)
_STATUS_LINE = re.compile(rb"HTTP/1\.1 \d{3} ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How likely a caller is to do what hurts."""

    leaves: float = 0.0
    stalls: float = 0.0
    reads_slowly: float = 0.0
    talks_nonsense: float = 0.0
    idles: float = 2.0

    @property
    def is_prompt(self) -> bool:
        """Whether the gateway has no deadline that these callers could miss."""
        return self.stalls == 0.0 and self.reads_slowly == 0.0 and self.idles < 3.0


class Caller:
    """One client machine. Everything it does follows from the seed and its name."""

    def __init__(self, world: World, name: str, manners: Manners) -> None:
        self.name = name
        self.rng = random.Random(f"{world.seed}/{name}")
        self.fail = world.fail
        self.trace = world.trace
        self._process = world.process
        self._services = world.fleet.service_names
        self._ledger = world.ledger
        self._dial = world.dial
        self._manners = manners
        self._count = 0

    async def run(self) -> None:
        """A few visits, one after the other."""
        rng = self.rng
        for _ in range(rng.randint(1, 3)):
            await self._process.sleep(rng.choice((0.0, rng.random() * 0.05, rng.random() * 2)))
            try:
                socket, worker = await self._dial(self)
            except OSError:
                continue
            self.trace(self.name, f"calls {worker}")
            try:
                await self._visit(socket, worker)
            except CutError:
                self.trace(self.name, "is cut off")
            except NotHttpError as error:
                self.fail(f"{self.name} got an answer that is no HTTP: {error}")
            finally:
                if not socket.has_left:
                    socket.leave("close")

    def _happens(self, likelihood: float) -> bool:
        return self.rng.random() < likelihood

    async def _visit(self, socket: Socket, worker: str) -> None:
        rng = self.rng
        if self._happens(self._manners.talks_nonsense):
            await self._nonsense(socket)
            return
        requests = [self._request(worker) for _ in range(rng.choice((1, 1, 2, 3, 6)))]
        if self._happens(self._manners.leaves):
            how = rng.choice(("close", "reset", "half"))
            moment = rng.choice((rng.random() * 0.02, rng.random() * 0.3, rng.random() * 2))
            self._process.call_later(moment, self._leave, socket, how, requests)
        if rng.random() < 0.3:
            for request in requests[:-1]:
                # Who may be cut off by the answer before does not send ahead.
                request.closes, request.version = False, "1.1"
            sending = self._process.act(self._send_all(socket, requests))
            taking = self._take_answers(socket, requests)
        else:
            sending = None
            taking = self._one_by_one(socket, requests)
        try:
            await taking
        except CutError:
            unanswered = [request for request in requests if not self._ledger.fates[request.id].status]
            self._give_up(unanswered[1:])
            raise
        finally:
            if sending is not None:
                sending.cancel()

    def _request(self, worker: str) -> Request:
        self._count += 1
        request = make_request(self.rng, f"{self.name}.{self._count}", self.rng.choice(self._services))
        self._ledger.open(request).worker = worker
        return request

    def _leave(self, socket: Socket, how: str, requests: list[Request]) -> None:
        if not socket.has_left:
            self.trace(self.name, f"leaves: {how}")
            self._give_up(requests)
            socket.leave(how)

    def _give_up(self, requests: list[Request]) -> None:
        for request in requests:
            self._ledger.fates[request.id].is_given_up = True

    # --- sending

    async def _send_all(self, socket: Socket, requests: list[Request]) -> None:
        try:
            for request in requests:
                await self._send(socket, request)
        except CutError:
            pass

    async def _send(self, socket: Socket, request: Request) -> None:
        self.trace(self.name, f"sends {request}")
        await self._pieces(socket, request.head())
        if request.expects:
            await self._await_continue(socket)
        if request.framing == "chunked":
            await self._pieces(socket, self._as_chunks(request.body))
        elif request.body:
            await self._pieces(socket, request.body)
        self._ledger.fates[request.id].was_sent = True

    async def _await_continue(self, socket: Socket) -> None:
        """Until something comes, or patience ends (RFC 9110 section 10.1.1)."""
        patience = self._process.create_future()
        peeking = self._process.act(socket.peek())
        for future in (peeking, self._process.act(_after(self._process, CONTINUE_PATIENCE))):
            future.add_done_callback(lambda _: patience.done() or patience.set_result(None))
        await patience
        peeking.cancel()

    def _as_chunks(self, body: bytes) -> bytes:
        parts, at = [], 0
        while at < len(body):
            size = self.rng.choice((self.rng.randint(1, 100), 4_096, 65_536))
            piece = body[at : at + size]
            parts.append(b"%x\r\n%b\r\n" % (len(piece), piece))
            at += size
        return b"".join(parts) + b"0\r\n\r\n"

    async def _pieces(self, socket: Socket, data: bytes) -> None:
        rng, at = self.rng, 0
        stalls_at = rng.randrange(len(data)) if self._happens(self._manners.stalls) else math.inf
        while at < len(data):
            size = rng.choice((rng.randint(1, 50), 1_000, 30_000, len(data)))
            await socket.write(data[at : at + size])
            at += size
            if at > stalls_at:
                await self._process.sleep(rng.choice((0.5, 5.0)))
                stalls_at = math.inf
            elif rng.random() < 0.2:
                await self._process.sleep(rng.random() * 0.02)

    # --- reading

    async def _one_by_one(self, socket: Socket, requests: list[Request]) -> None:
        for request in requests:
            sending = self._process.act(self._send_all(socket, [request]))
            goes_on = await self._take_answer(socket, request)
            if not goes_on:
                sending.cancel()
                self._give_up(requests)
                return
            await _done(sending)
            if self._happens(0.1):
                await self._process.sleep(self.rng.choice((0.05, 1.0, self._manners.idles)))
        await self._expect_silence(socket)

    async def _take_answers(self, socket: Socket, requests: list[Request]) -> None:
        for request in requests:
            if not await self._take_answer(socket, request):
                self._give_up(requests)
                return
        await self._expect_silence(socket)

    async def _take_answer(self, socket: Socket, request: Request) -> bool:
        """Read one answer and judge it. Returns whether another may follow on this connection."""
        if self._happens(self._manners.reads_slowly):
            await self._process.sleep(self.rng.choice((0.05, 0.5, 2.5)))
        status, fields = await self._head(socket, request)
        # To a head that was never read there is an answer with a body, whatever the method was meant to be.
        may_have_body = request.method != "HEAD" or fields.get("x-request-id") != request.id
        has_body = may_have_body and status not in (204, 304)
        body = await socket.body(fields, ends_by_eof=True) if has_body else b""
        self.trace(self.name, f"{request.id} got {status} {fields.get('x-answer-for', '')} {len(body)} bytes")
        self._ledger.answered(request, status, fields, body)
        connection = fields.get("connection", "close" if request.version == "1.0" else "")
        if connection != "close":
            return True
        await self._expect_silence(socket)
        return False

    async def _head(self, socket: Socket, request: Request) -> tuple[int, dict[str, str]]:
        while True:
            first, fields = await socket.head()
            version, status, _ = first.split(" ", 2)
            if version != "HTTP/1.1" or not status.isdigit():
                raise NotHttpError(first)
            if status != "100":
                return int(status), fields
            if not request.expects:
                self.fail(f"{request.id} was told to continue and had not asked")

    async def _expect_silence(self, socket: Socket) -> None:
        """After the last answer nothing more may come."""
        listening = self._process.act(socket.read())
        await self._process.sleep(0.05)
        if listening.done():
            if data := listening.result():
                self.fail(f"{self.name} got bytes after the last answer: {data[:60]!r}")
        else:
            listening.cancel()

    async def _nonsense(self, socket: Socket) -> None:
        await socket.write(self.rng.choice(NONSENSE))
        answer = b""
        while piece := await socket.read():
            answer += piece
        if answer and not answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")):
            self.fail(f"{self.name} sent nonsense and got {answer[:60]!r}")
        if len(_STATUS_LINE.findall(answer)) > 1:
            self.fail(f"{self.name} sent nonsense once and got two answers")


async def _after(process: Process, seconds: float) -> None:
    await process.sleep(seconds)


async def _done(task: asyncio.Task[Any]) -> None:
    if not task.done():
        await task
