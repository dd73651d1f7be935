"""`scoregate` with one thing altered for a test: `python altered_gateway.py brisk serve …`.

`brisk`: a silent process is given up after 1.5 seconds. That is no setting of the gateway: its 10 seconds are right
for every machine; a test that halts processes again and again has no 10 seconds each time.
`leaking`: every request leaves 2 KiB behind.
`caching`: a worker lets a key in that opened less than 0.3 seconds ago, whatever has become of it.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from gateway import supervisor
from gateway.__main__ import main
from gateway.core.exchange import Caller, Exchange
from gateway.core.problem import Reply
from gateway.policy.key_door import KeyDoor
from gateway.proxy.handler import Handler


def _brisk() -> None:
    supervisor.SILENCE_SECONDS = 1.5


def _leaking() -> None:
    left: list[bytearray] = []
    end = Handler._end

    def leak(*arguments: Any) -> None:
        left.append(bytearray(2048))
        end(*arguments)

    Handler._end = leak  # type: ignore[method-assign]


def _caching() -> None:
    opened: dict[bytes, tuple[float, Caller]] = {}
    look = KeyDoor.open

    def recall(self: KeyDoor, credential: bytes, exchange: Exchange) -> Caller | Reply:
        when, caller = opened.get(credential, (0.0, None))
        if caller is not None and time.monotonic() - when < 0.3:
            return caller
        found = look(self, credential, exchange)
        if isinstance(found, Caller):
            opened[credential] = (time.monotonic(), found)
        return found

    KeyDoor.open = recall  # type: ignore[method-assign]


if __name__ == "__main__":
    {"brisk": _brisk, "leaking": _leaking, "caching": _caching}[sys.argv.pop(1)]()
    main()
