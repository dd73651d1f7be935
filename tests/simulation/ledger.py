"""What really happened to each request, as seen from outside: the judge of every promise about answers and bodies."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from actor_http import digest

SAFE_TO_REPEAT = ("GET", "HEAD", "PUT", "DELETE")


class Violation(Exception):  # noqa: N818 - the word for it
    """The gateway broke a promise."""


@dataclass(slots=True)
class Request:
    """A request as a caller means it. `framing` of its body: length, chunked or none."""

    id: str
    service: str
    method: str
    body: bytes
    framing: str
    version: str
    expects: bool
    closes: bool
    digest: str

    def __str__(self) -> str:
        manner = [self.framing, "HTTP/" + self.version, "expects" * self.expects, "closes" * self.closes]
        return f"{self.id} {self.service} {self.method} {len(self.body)} bytes {' '.join(filter(None, manner))}"

    def head(self) -> bytes:
        lines = [f"{self.method} /api/v1/service/{self.service}/score HTTP/{self.version}", "host: gateway"]
        lines += [f"x-request-id: {self.id}", f"x-digest: {self.digest}"]
        if self.framing == "length":
            lines.append(f"content-length: {len(self.body)}")
        elif self.framing == "chunked":
            lines.append("transfer-encoding: chunked")
        if self.expects:
            lines.append("expect: 100-continue")
        if self.closes:
            lines.append("connection: close")
        elif self.version == "1.0":
            lines.append("connection: keep-alive")
        return "\r\n".join(lines).encode() + b"\r\n\r\n"


@dataclass(slots=True)
class Fate:
    """What became of a request. `reached`: backends that got its body whole; `status`: of the answer, 0 without one.

    `is_given_up`: its caller left, or was told that no more answers come on its connection.
    """

    request: Request
    worker: str = ""
    was_sent: bool = False
    is_given_up: bool = False
    reached: list[str] = field(default_factory=list)
    status: int = 0

    @property
    def is_unanswered(self) -> bool:
        """Whether its caller sent it whole, stayed, and got nothing."""
        return self.was_sent and not self.is_given_up and not self.status


class Ledger:
    """All requests of a world by their ids. `fail` is told of broken promises."""

    def __init__(self, fail: Callable[[str], None]) -> None:
        self.fates: dict[str, Fate] = {}
        self.excused: set[str] = set()
        self._fail = fail

    def open(self, request: Request) -> Fate:
        fate = self.fates[request.id] = Fate(request)
        return fate

    def arrived(self, request_id: str, method: str, body: bytes, backend: str) -> None:
        """A backend has got a request whole."""
        fate = self.fates.get(request_id)
        if fate is None:
            self._fail(f"{backend} got a request that nobody sent: {request_id!r}")
            return
        request = fate.request
        fate.reached.append(backend)
        if method != request.method or digest(body) != request.digest:
            self._fail(f"{backend} got {request_id} changed: {method}, {len(body)} of {len(request.body)} bytes")
        if len(fate.reached) > 1 and request.method not in SAFE_TO_REPEAT:
            self._fail(f"{request_id} ({request.method}) was delivered whole more than once: {fate.reached}")

    def answered(self, request: Request, status: int, fields: dict[str, str], body: bytes) -> None:
        """A caller has got an answer that looks whole."""
        fate = self.fates[request.id]
        if fate.status:
            self._fail(f"{request.id} was answered twice")
        fate.status = status
        was_unreadable = status in (400, 408) and fields.get("connection") == "close"
        if fields.get("x-request-id") != request.id and not was_unreadable:
            self._fail(f"{request.id} got an answer with the id {fields.get('x-request-id')!r}")
        answers = fields.get("x-answer-for")
        if answers is not None:
            self._judge(request, answers, fields, body)
        elif status < 400:
            self._fail(f"{request.id} got {status} from nobody")

    def _judge(self, request: Request, answers: str, fields: dict[str, str], body: bytes) -> None:
        if answers in self.excused:
            return
        if answers != request.id:
            self._fail(f"{request.id} got the answer to {answers}")
        elif fields["x-request-digest"] != request.digest:
            self._fail(f"{request.id} got an answer to another body")
        elif request.method != "HEAD" and fields["x-answer-digest"] != digest(body):
            self._fail(f"{request.id} got a short or changed answer of {len(body)} bytes that looked whole")


METHODS = ("POST",) * 7 + ("PUT",) * 3 + ("GET", "HEAD", "DELETE")


def make_request(rng: random.Random, request_id: str, service: str) -> Request:
    """A request of any kind a caller may send."""
    method = rng.choice(METHODS)
    size = 0
    if method in ("POST", "PUT"):
        size = rng.choice((0, 1, rng.randint(2, 2_000), rng.randint(2_000, 65_535), rng.randint(65_536, 200_000)))
    version = "1.0" if rng.random() < 0.15 else "1.1"
    framing = "length" if size else "none"
    if version == "1.1" and method in ("POST", "PUT") and rng.random() < 0.3:
        framing = "chunked"
    body = rng.randbytes(size)
    expects = framing != "none" and version == "1.1" and rng.random() < 0.15
    closes = rng.random() < 0.15
    return Request(request_id, service, method, body, framing, version, expects, closes, digest(body))
