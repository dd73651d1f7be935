"""`scoregate` with one thing altered for a test: `python altered_gateway.py brisk serve …`.

`brisk`: a silent process is given up after 1.5 seconds. That is no setting of the gateway: its 10 seconds are right
for every machine; a test that halts processes again and again has no 10 seconds each time.
`leaking`: every request leaves 2 KiB behind.
"""

from __future__ import annotations

import sys
from typing import Any

from gateway import supervisor
from gateway.__main__ import main
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


if __name__ == "__main__":
    {"brisk": _brisk, "leaking": _leaking}[sys.argv.pop(1)]()
    main()
