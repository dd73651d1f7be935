"""What a container may do with a request: serve it honestly, fail at it, or lie. One function each, chosen by name.

An answer says which request it is for and what its body must be: a caller can judge it without knowing the plan.
A function returns whether the connection stays open.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from actor_http import Socket, digest
from virtual_time import Process

BODILESS = (204, 304)


@dataclass(slots=True)
class Answer:
    """What a container is going to say. `pause`: seconds between its pieces, at most."""

    status: int
    fields: dict[str, str]
    body: bytes = b""
    pause: float = 0.0
    framing: str = "length"
    extra: list[str] = field(default_factory=list)

    def head(self) -> bytes:
        lines = [f"HTTP/1.1 {self.status} X", *(f"{name}: {value}" for name, value in self.fields.items()), *self.extra]
        if self.framing == "length" and self.status not in BODILESS:
            lines.append(f"content-length: {len(self.body)}")
        elif self.framing == "chunked":
            lines.append("transfer-encoding: chunked")
        return "\r\n".join(lines).encode() + b"\r\n\r\n"

    def pieces(self, rng: random.Random) -> list[bytes]:
        """The body, framed and cut."""
        at, pieces = 0, []
        while at < len(self.body):
            size = rng.choice((rng.randint(1, 300), 5_000, 100_000))
            piece = self.body[at : at + size]
            pieces.append(b"%x\r\n%b\r\n" % (len(piece), piece) if self.framing == "chunked" else piece)
            at += size
        return [*pieces, b"0\r\n\r\n"] if self.framing == "chunked" else pieces


class Talk:
    """A request, and what can be done with it. The container knows the rest."""

    def __init__(
        self, process: Process, socket: Socket, rng: random.Random, method: str, fields: dict[str, str]
    ) -> None:
        self.socket = socket
        self.rng = rng
        self.method = method
        self.fields = fields
        self._process = process

    async def body(self) -> None:
        """Read the body of the request to its end."""
        raise NotImplementedError

    def answered(self) -> None:
        """The answer is out."""
        raise NotImplementedError

    def poison(self, after: int) -> bytes:
        """An answer to nothing, to be sent `after` bytes from now."""
        raise NotImplementedError

    async def sleep(self, seconds: float) -> None:
        await self._process.sleep(seconds)

    async def think(self) -> None:
        """As long as a model may."""
        await self.sleep(self.rng.choice((0.0, self.rng.random() * 0.01, self.rng.random() * 0.2)))

    async def until_gone(self) -> None:
        """Read and say nothing until the gateway hangs up."""
        while await self.socket.read():
            pass

    def plan(self, framing: str = "length", status: int = 200) -> Answer:
        """An answer to this request, of any size."""
        rng = self.rng
        size = rng.choice((0, 20, rng.randint(0, 3_000), rng.randint(3_000, 120_000)))
        body = rng.randbytes(0 if status in BODILESS else size)
        said = {
            "x-answer-for": self.fields["x-request-id"],
            "x-answer-digest": digest(body),
            "x-request-digest": self.fields.get("x-digest", ""),
        }
        return Answer(status, said, body, rng.choice((0.0, rng.random() * 0.02, rng.random() * 0.1)), framing)

    async def say(self, answer: Answer) -> None:
        """The whole answer, in one go or in pieces."""
        has_body = self.method != "HEAD" and answer.status not in BODILESS
        messages = [answer.head(), *(answer.pieces(self.rng) if has_body else [])]
        if self.rng.random() < 0.5:
            messages = [b"".join(messages)]
        for message in messages[:-1]:
            await self.socket.write(message)
            if answer.pause:
                await self.sleep(answer.pause * self.rng.random())
        await self.socket.write(messages[-1])
        if answer.framing != "eof" or not has_body:
            self.answered()

    async def say_a_part(self, *framings: str) -> None:
        """The beginning of an answer, its end missing."""
        await self.body()
        answer = self.plan(self.rng.choice(framings))
        answer.body = self.rng.randbytes(self.rng.randint(400, 90_000))
        data = answer.head() + b"".join(answer.pieces(self.rng))
        await self.socket.write(data[: self.rng.randint(1, len(data) - 1)])


# --- honest


async def _answer(talk: Talk) -> bool:
    await talk.body()
    await talk.think()
    await talk.say(talk.plan())
    return True


async def _slow(talk: Talk) -> bool:
    await talk.body()
    await talk.sleep(talk.rng.random() * 2)
    answer = talk.plan()
    answer.pause = 0.3
    await talk.say(answer)
    return True


async def _eof(talk: Talk) -> bool:
    await talk.body()
    await talk.say(talk.plan("eof"))
    return False


async def _chunks(talk: Talk) -> bool:
    await talk.body()
    await talk.think()
    await talk.say(talk.plan("chunked"))
    return True


async def _close(talk: Talk) -> bool:
    """Like the Azure model server: no word of it, and closed."""
    await _answer(talk)
    return False


async def _announced_close(talk: Talk) -> bool:
    await talk.body()
    answer = talk.plan()
    answer.extra = ["connection: close"]
    await talk.say(answer)
    return False


async def _early_hints(talk: Talk) -> bool:
    await talk.socket.write(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" * talk.rng.randint(1, 3))
    return await _answer(talk)


async def _status(talk: Talk) -> bool:
    await talk.body()
    await talk.say(talk.plan(status=talk.rng.choice((204, 304, 404, 429, 500, 503))))
    return True


# --- faulty


async def _unavailable(talk: Talk) -> bool:
    await talk.body()
    await talk.say(talk.plan(status=talk.rng.choice((502, 503, 504))))
    return True


async def _stall(talk: Talk) -> bool:
    await talk.body()
    await talk.until_gone()
    return False


async def _stall_in_body(talk: Talk) -> bool:
    await talk.say_a_part("length")
    await talk.until_gone()
    return False


async def _reset(talk: Talk) -> bool:
    await talk.body()
    await talk.think()
    talk.socket.leave("reset")
    return False


async def _reset_in_body(talk: Talk) -> bool:
    await talk.say_a_part("length", "chunked", "eof")
    talk.socket.leave("reset")
    return False


async def _close_in_body(talk: Talk) -> bool:
    """Ends its sending side before the promised end."""
    await talk.say_a_part("length", "chunked")
    talk.socket.leave("half")
    await talk.until_gone()
    return False


async def _close_unread(_: Talk) -> bool:
    """Reads no body and says nothing."""
    return False


async def _deaf(talk: Talk) -> bool:
    """Never reads the body."""
    await talk.sleep(30)
    return False


async def _early(talk: Talk) -> bool:
    """Answers before it has read the body, as servers do that refuse it."""
    await talk.say(talk.plan(status=413))
    await talk.body()
    return True


# --- lying


async def _garbage(talk: Talk) -> bool:
    await talk.body()
    rng = talk.rng
    await talk.socket.write(rng.choice((rng.randbytes(200), b"\r\n\r\nHTTP/3 200\r\n\r\n", b"HTTP/1.1 99999 A\r\n")))
    await talk.until_gone()
    return False


async def _two_answers(talk: Talk) -> bool:
    await talk.body()
    answer = talk.plan()
    if talk.method == "HEAD":
        answer.body = b""
    honest = answer.head() + answer.body
    await talk.socket.write(honest + talk.poison(len(honest)))
    talk.answered()
    return True


async def _unasked(talk: Talk) -> bool:
    """An answer, and a while later another one that nobody asked for."""
    await _answer(talk)
    await talk.sleep(talk.rng.choice((0.0, talk.rng.random() * 0.05)))
    await talk.socket.write(talk.poison(0))
    return True


async def _both_lengths(talk: Talk) -> bool:
    await talk.body()
    answer = talk.plan()
    answer.extra = [talk.rng.choice(("transfer-encoding: chunked", "content-length: 5", "transfer-encoding: gzip"))]
    await talk.socket.write(answer.head() + answer.body * talk.rng.randint(0, 1))
    await talk.until_gone()
    return False


async def _storm(talk: Talk) -> bool:
    for _ in range(60):
        await talk.socket.write(b"HTTP/1.1 102 Processing\r\n\r\n")
    return await _answer(talk)


async def _upgrade(talk: Talk) -> bool:
    await talk.socket.write(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n")
    await talk.until_gone()
    return False


_CALM = (_answer,) * 6 + (_slow, _eof, _chunks, _chunks, _announced_close, _early_hints, _status)
_FAULTY = (_stall, _stall_in_body, _reset, _reset, _reset_in_body, _close_in_body, _close_unread, _deaf, _early)
_CRASHING = (_reset, _reset, _close_unread, _answer)
_AILING = (_unavailable,) * 9 + (_answer,)
_LYING = (_garbage, _two_answers, _both_lengths, _storm, _upgrade, _unasked)


def _names(behaviours: tuple[Callable[[Talk], Awaitable[bool]], ...]) -> tuple[str, ...]:
    return tuple(behaviour.__name__[1:] for behaviour in behaviours)


BEHAVIOURS = {behaviour.__name__[1:]: behaviour for behaviour in (*_CALM, _close, *_FAULTY, *_AILING, *_LYING)}
CALM = _names(_CALM)
HONEST = _names((*_CALM, _close))
FAULTY = _names(_FAULTY)
CRASHING = _names(_CRASHING)
AILING = _names(_AILING)
LYING = _names(_LYING)
