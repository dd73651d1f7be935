"""One request as the checks see it: values only, no sockets. Made by `proxy.message`, completed by `policy`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

AuthType = Literal["key", "token", "none"]

SINGLE = frozenset({b"host", b"authorization", b"content-type", b"origin", b"access-control-request-method"})
"""Fields that may stand once in a request: a second one would leave open which of them was meant."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who opened the door: a subject, and the public name of the credential (never the credential)."""

    auth_type: AuthType
    subject: str
    key_id: str = ""
    slot: str = ""


ANONYMOUS = Caller("none", "anonymous")


class Exchange:
    """A request's head and what was decided about it. Names in `headers` and `fields` are lower case bytes.

    `length`: bytes of body announced, None when chunked. `now`: monotonic seconds; `wall`: Unix seconds.
    `operation`: score, swagger or extra once a route is found. `repeated`: a field of SINGLE that stands twice, else
    empty; Authorization only if it is the only one, since a check answers for it.
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
        "operation",
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
        headers: list[tuple[bytes, bytes, bytes]],
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
        self.fields: dict[bytes, bytes] = {}
        self.repeated = b""
        for name, _, value in headers:
            if name in self.fields:
                if name in SINGLE and self.repeated in (b"", b"authorization"):
                    self.repeated = name
                self.fields[name] += b", " + value
            else:
                self.fields[name] = value
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

    def __repr__(self) -> str:
        """Method and path only: fields hold credentials, the query may."""
        return f"<Exchange {self.method!r} {self.path!r}>"
