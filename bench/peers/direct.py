"""No proxy at all: the backend itself, for what a proxy adds to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers.peer import Peer, Running, Setting


@contextmanager
def start(setting: Setting, _: Path) -> Iterator[Running]:
    """What runs already."""
    yield Running("direct", setting.backend_port, pid=0, tls=False, path=setting.answer)


DIRECT = Peer(name="direct", work="nothing", obtain=lambda: None, version=lambda: "", start=start)
