"""What one hostile request is, and what should become of it. The tables are `cases_*.py`; `cases.ALL` joins them.

In what is sent, @TARGET@ stands for the path of a good request with the run's id, @KEY@ for the credential, @HOST@ for
host and port.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

HEAD_OF_GOOD = b"POST @TARGET@ HTTP/1.1\r\nHost: @HOST@\r\nAuthorization: Bearer @KEY@\r\n"
HIDDEN = b"GET /api/v1/service/probe/score?id=smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
"""What a smuggler wants served: no credential, and an id that no run has."""


class Then(Enum):
    """What the client does once everything is sent."""

    ASK = "send a good request on the same connection, and read to the end"
    WAIT = "wait for the gateway to end the connection, since the request is not complete"
    LEAVE = "close"
    RESET = "close with a reset"
    HALF_CLOSE = "close its sending side, and read to the end"


@dataclass(frozen=True)
class Case:
    """`answers`: for each answer of the gateway to this, the statuses it may have; 0 among them: or the end instead.

    `bodies`: what the backend sees of it, request by request. `pieces`: sent one by one. `bad_answers`: the same with a
    wrong credential; None: 401 in place of 200. `to_head`: answers carry no body.
    `cut`: pieces arrive so many bytes at a time.
    """

    name: str
    pieces: tuple[bytes, ...]
    answers: tuple[frozenset[int], ...]
    bodies: tuple[bytes, ...] = ()
    then: Then = Then.ASK
    bad_answers: tuple[frozenset[int], ...] | None = None
    to_head: bool = False
    cut: int = 0

    def expected(self, *, good: bool) -> tuple[frozenset[int], ...]:
        """The statuses of its answers, by credential. A refusal of the credential may come before another one."""
        if good:
            return self.answers
        if self.bad_answers is not None:
            return self.bad_answers
        return tuple((statuses - {200}) | {401} for statuses in self.answers)


def one_of(*statuses: int) -> frozenset[int]:
    return frozenset(statuses)


def head(*fields: bytes, start: bytes | None = None) -> bytes:
    """A head with a good start line, Host and credential, and these fields."""
    good = (
        HEAD_OF_GOOD
        if start is None
        else start + HEAD_OF_GOOD.partition(b"\r\n")[1] + HEAD_OF_GOOD.partition(b"\r\n")[2]
    )
    return good + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


def passes(name: str, data: bytes, *bodies: bytes, then: Then = Then.ASK, to_head: bool = False) -> Case:
    """Served as what it says, once for each body."""
    expected = bodies or (b"{}",)
    return Case(name, (data,), (one_of(200),) * len(expected), expected, then, to_head=to_head)


def refused(name: str, data: bytes, *statuses: int) -> Case:
    """Refused, and nothing after it is served unless the connection stays open."""
    return Case(name, (data,), (one_of(*(statuses or (400,))),))


def unfinished(name: str, *pieces: bytes, statuses: tuple[int, ...] = (408,)) -> Case:
    """Never complete: told so or not, and closed within the deadlines."""
    return Case(name, pieces, (one_of(0, *statuses),), then=Then.WAIT)


def closed(name: str, data: bytes) -> Case:
    """No HTTP at all: a refusal or just the end."""
    return Case(name, (data,), (one_of(0, 400, 505),), bad_answers=(one_of(0, 400, 505),))
