"""The baseline: a proxy written with stock aiohttp that decides with the gateway's own code."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from bench.peers.peer import KEY, ORIGIN, SERVICE, Peer, Running, Setting
from bench.process import free_port, server


@contextmanager
def start(setting: Setting, folder: Path) -> Iterator[Running]:
    """One process of it; its plan lies in `folder`."""
    port, file = free_port(), folder / "plan.json"
    spec = {
        "backends": [f"http://127.0.0.1:{setting.backend_port}"],
        "scoring_path": setting.answer,
        "cors": {"allowed_origins": [ORIGIN]} if setting.cors else None,
        "rate_limits": [{"name": "bench", "requests": setting.limit}],
    }
    plan = {"port": port, "name": SERVICE, "spec": spec, "primary": KEY, "secondary": KEY[::-1]}
    if setting.tls:
        plan |= {"certificate": str(setting.certificate), "private_key": str(setting.private_key)}
    file.write_text(json.dumps(plan), encoding="utf-8")
    command = [sys.executable, "-m", "bench.stock_aiohttp", file]
    with server(command, setting.cores.proxy, folder / "log", port=port) as process:
        yield Running("aiohttp", port, process.pid, setting.tls)


AIOHTTP = Peer(
    name="aiohttp",
    work="the gateway's own checks, `web.Application` and `ClientSession` as they come, prometheus-client counters",
    obtain=lambda: None,
    version=lambda: f"aiohttp {metadata.version('aiohttp')}, asyncio",
    start=start,
)
