"""One request as the checks see it: values only, no sockets. Made by `proxy.message`, completed by `policy`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

AuthType = Literal["key", "token", "none"]
Triple = tuple[bytes, bytes, bytes]
"""A header field: its name in lower case, its name as sent, its value."""

SINGLE = frozenset({b"host", b"authorization", b"content-type", b"origin", b"access-control-request-method"})
"""Fields that may stand once in a request: a second one would leave open which of them was meant."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who opened the door: a subject, and the public name of the credential (never the credential).

    `identity`: the same as header lines for the backend, made once for all requests of this caller.
    """

    auth_type: AuthType
    subject: str
    key_id: str = ""
    slot: str = ""
    identity: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        lines = f"x-scoregate-auth-type: {self.auth_type}\r\nx-scoregate-caller: {_one_line(self.subject)}\r\n"
        if self.key_id:
            lines += f"x-scoregate-key-id: {self.key_id}\r\n"
        object.__setattr__(self, "identity", lines.encode("latin-1", "replace"))


def _one_line(subject: str) -> str:
    """A subject that cannot end its header line: who issues tokens may name callers as it likes."""
    if subject.isprintable():
        return subject
    return "".join(character if character.isprintable() else "?" for character in subject)


ANONYMOUS = Caller("none", "anonymous")


class Exchange:
    """A request's head and what was decided about it. Names in `headers` and `fields` are lower case bytes.

    `length`: bytes of body announced, None when chunked. `now`: monotonic seconds; `wall`: Unix seconds.
    `operation`: score, swagger or extra once a route is found. `repeated`: a field of SINGLE that stands twice, else
    empty; Authorization only if it is the only one, since a check answers for it.
    `opens_from`, `opens_until` (Unix seconds): the time within which its credential opens the door, once that is known.
    `passing`: the client's lines for the backend, where they are known already (`proxy.memo`).
    """

    __slots__ = (
        "address",
        "caller",
        "client_request_id",
        "fields",
        "headers",
        "keep_alive",
        "length",
        "method",
        "now",
        "opens_from",
        "opens_until",
        "operation",
        "passing",
        "path",
        "peer",
        "query",
        "repeated",
        "request_id",
        "secure",
        "version",
        "wall",
    )

    def __init__(
        self,
        method: bytes,
        path: bytes,
        query: bytes,
        headers: list[Triple],
        *,
        length: int | None = 0,
        peer: str = "",
        secure: bool = True,
        now: float = 0.0,
        wall: float = 0.0,
    ) -> None:
        """`headers`: (lower-case name, name as sent, value) in order. `query` with its question mark, or empty."""
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.fields = {name: value for name, _, value in headers}
        self.repeated = b""
        if len(self.fields) != len(headers):
            self._join(headers)
        self.length = length
        self.peer = peer
        self.address = peer
        self.secure = secure
        self.now = now
        self.wall = wall
        self.version = "1.1"
        self.keep_alive = True
        self.request_id = ""
        self.client_request_id = ""
        self.operation = ""
        self.caller = ANONYMOUS
        self.opens_from = -math.inf
        self.opens_until = math.inf
        self.passing: bytes | None = None

    def again(self, now: float, wall: float) -> Exchange:
        """Another request with the same head. Ids and addresses are the caller's to set; `fields` are shared."""
        made = Exchange.__new__(Exchange)
        made.method, made.path, made.query = self.method, self.path, self.query
        made.headers, made.fields, made.repeated = self.headers, self.fields, self.repeated
        made.length, made.secure, made.version, made.keep_alive = (
            self.length,
            self.secure,
            self.version,
            self.keep_alive,
        )
        made.peer = made.address = made.request_id = made.client_request_id = ""
        made.now, made.wall = now, wall
        made.operation, made.caller, made.passing = self.operation, self.caller, None
        made.opens_from, made.opens_until = self.opens_from, self.opens_until
        return made

    def _join(self, headers: list[Triple]) -> None:
        """Fields that stand several times are one field with a list (RFC 9110 section 5.3)."""
        self.fields = {}
        for name, _, value in headers:
            if name in self.fields:
                if name in SINGLE and self.repeated in (b"", b"authorization"):
                    self.repeated = name
                self.fields[name] += b", " + value
            else:
                self.fields[name] = value

    def __repr__(self) -> str:
        """Method and path only: fields hold credentials, the query may."""
        return f"<Exchange {self.method!r} {self.path!r}>"
