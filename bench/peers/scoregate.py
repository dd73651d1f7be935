"""The gateway itself, as a user starts it: `scoregate serve` with a configuration file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.peers.peer import KEY, ORIGIN, SERVICE, Peer, Running, Setting
from bench.process import PATIENCE_SECONDS, server, until
from gateway import __version__


@contextmanager
def start(setting: Setting, folder: Path) -> Iterator[Running]:
    """One gateway in `folder`."""
    file, ready, log = folder / "gateway.yaml", folder / "ready.json", folder / "log"
    (folder / "primary").write_text(KEY, encoding="utf-8")
    (folder / "secondary").write_text(KEY[::-1], encoding="utf-8")
    file.write_text(json.dumps(_configuration(setting, folder)), encoding="utf-8")
    command = [sys.executable, "-m", "gateway", "serve", "--config", file, "--ready-file", ready]
    with server(command, setting.cores.proxy, log) as process:
        until(ready.exists, process, log, PATIENCE_SECONDS + setting.services / 50)
        told = json.loads(ready.read_text(encoding="utf-8"))
        port = int(told["scoring_url"].rpartition(":")[2])
        yield Running("scoregate", port, process.pid, setting.tls, token=_token(told) if setting.tokens else "")


def _configuration(setting: Setting, folder: Path) -> dict[str, Any]:
    tls = {"certificate": str(setting.certificate), "private_key": str(setting.private_key)} if setting.tls else None
    names = [SERVICE, *(f"{SERVICE}-{number}" for number in range(1, setting.services))]
    return {
        "data_dir": str(folder / "data"),
        "scoring": {
            "listen": "127.0.0.1:0",
            "workers": setting.workers,
            "drain_seconds": 1,
            "max_auth_failures_per_minute": 0,  # every refusal of the 401 row is to be one
            "tls": tls,
        },
        "admin": {"listen": "127.0.0.1:0", "tls": None},
        "metrics": {"listen": "127.0.0.1:0"},
        "logging": {"access_log": None},
        "services": dict.fromkeys(names, _service(setting, folder)),
    }


def _service(setting: Setting, folder: Path) -> dict[str, Any]:
    return {
        "backends": [f"http://127.0.0.1:{setting.backend_port}"],
        "scoring_path": setting.answer,
        "token_auth_enabled": setting.tokens,
        "keys": {"primary": f"file:{folder}/primary", "secondary": f"file:{folder}/secondary"},
        "max_concurrent_requests_per_container": None,
        # 5,000 connections at once are more than a listen queue holds: some are made at the second or third try.
        "connect_timeout_ms": 30_000,
        # Peers have no probes either; 10,000 services would be probed 2,000 times a second on the measured core.
        "health": None,
        "cors": {"allowed_origins": [ORIGIN]} if setting.cors else None,
        "rate_limits": [{"name": "bench", "requests": setting.limit}],
    }


def _token(told: dict[str, str]) -> str:
    environment = os.environ | {
        "SCOREGATE_ADMIN_URL": told["admin_url"],
        "SCOREGATE_ADMIN_TOKEN_FILE": told["admin_token_file"],
    }
    command = [sys.executable, "-m", "gateway", "token", "issue", SERVICE, "-o", "json"]
    return str(json.loads(subprocess.check_output(command, env=environment))["token"])


SCOREGATE = Peer(
    name="scoregate",
    work="key, one rate limit, counters, request ids; access log off, no probes",
    obtain=lambda: None,
    version=lambda: f"scoregate {__version__}, Python {sys.version.split()[0]}",
    start=start,
)
