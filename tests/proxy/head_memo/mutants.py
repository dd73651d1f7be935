"""Mistakes that somebody could make in the head memo, each in one piece of its source: the duels must find them."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from unittest.mock import patch

from gateway.core.exchange import Exchange
from gateway.core.route import Route
from gateway.proxy import memo
from gateway.proxy.client import Client
from gateway.proxy.framing import Framing
from gateway.proxy.handler import Handler
from gateway.proxy.memo import HeadMemo

_CREDENTIAL = re.compile(rb"Authorization: Bearer [^\r]*")


class Mutant(Protocol):
    """A mistake."""

    mistake: str

    def at_work(self) -> AbstractContextManager[None]:
        """The mistake is made within."""


@dataclass(frozen=True, slots=True)
class Edited:
    """What is wrong, and where: `old` in the source of `owner.name` becomes `new`."""

    mistake: str
    owner: Any
    name: str
    old: str
    new: str

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """The mistake is made within."""
        function = inspect.getattr_static(self.owner, self.name)
        code = function.fget if isinstance(function, property) else function
        source = textwrap.dedent(inspect.getsource(code))
        assert source.count(self.old) == 1, f"{self.name} has changed: say anew how to make the mistake in it"
        scope: dict[str, Any] = {}
        exec(compile(source.replace(self.old, self.new), f"<{self.mistake}>", "exec"), code.__globals__, scope)
        with patch.object(self.owner, self.name, scope[self.name]):
            yield


class CredentialLeftOut:
    """Two heads that differ in the credential alone are taken for the same."""

    mistake = "credential left out of the key"

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """The mistake is made within."""
        original = HeadMemo.recall

        def recall(self: HeadMemo, data: bytes, last: Any) -> Any:
            known = _CREDENTIAL.search(b"".join(last.shape)) if last is not None else None
            if known is not None:
                data = _CREDENTIAL.sub(lambda _: known[0], data, count=1)
            return original(self, data, last)

        with patch.object(HeadMemo, "recall", recall):
            yield


MUTANTS: tuple[Mutant, ...] = (
    CredentialLeftOut(),
    Edited(
        "used although the service has changed",
        HeadMemo,
        "_leads_on",
        'return self._table.find(exchange.path, exchange.fields.get(b"host", b"")) == known.target',
        "return True",
    ),
    Edited(
        "used although the signing key was retired",
        HeadMemo,
        "_is_true",
        " or not (known.trust is None or known.trust is self._world.trust)",
        "",
    ),
    Edited("used after the credential expired", HeadMemo, "_is_true", " < known.exchange.opens_until", ""),
    Edited(
        "length of the body not looked at: what follows it is swallowed",
        HeadMemo,
        "_again",
        "len(data) - at != known.length or ",
        "",
    ),
    Edited("ids not looked at", HeadMemo, "_again", " or not REQUEST_ID.fullmatch(value)", ""),
    Edited(
        "a hole cut into the line before the id",
        memo,
        "_cut",
        'line.lower().startswith(lower + b":") and ',
        "",
    ),
    Edited(
        "a head longer than the limit",
        HeadMemo,
        "__init__",
        "max_header_bytes - len(HOLES) * MAX_ID_BYTES",
        "max_header_bytes",
    ),
    Edited("the traceparent that the service sets is the client's", memo, "_around_trace", " and not is_ruled", ""),
    Edited(
        "the request id of the first request",
        memo,
        "_fill",
        "= value.decode()\n        elif name",
        "= known.exchange.request_id\n        elif name",
    ),
    Edited("the generated id of the first request", memo, "_fill", "= new_id()", "= known.exchange.request_id"),
    Edited("the traceparent of the first request", memo, "_fill", "elif len(known.passing) == 2:", "elif False:"),
    Edited(
        "the time of the first request",
        Exchange,
        "again",
        "made.now, made.wall = now, wall",
        "made.now, made.wall = self.now, self.wall",
    ),
    Edited("the address is not judged again, nor the rate", Route, "decide_again", "in self.rechecks", "in ()"),
    Edited("who is refused before the credential is known", Route, "decide_again", "not is_introduced", "False"),
    Edited(
        "asked while another request is under way",
        Client,
        "data_received",
        "self._journey is None and not self._waiting and ",
        "not self._waiting and ",
    ),
    Edited(
        "asked while other requests wait",
        Client,
        "data_received",
        "is_free = self._journey is None and not self._waiting and not self.write_paused",
        "is_free = True",
    ),
    Edited("asked while the client does not read", Client, "data_received", " and not self.write_paused", ""),
    Edited(
        "asked within a body", Framing, "is_between", "(arriving.complete and arriving.exchange is not None)", "True"
    ),
    Edited(
        "recalled requests are not counted for their key",
        Handler,
        "_end",
        'if caller.auth_type == "key":',
        'if caller.auth_type == "key" and exchange.passing is None:',
    ),
)
