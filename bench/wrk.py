"""Closed-loop load by wrk: so many connections, each asking again as soon as it was answered."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.load import Figures, Load
from bench.machine import Cores
from bench.peers.peer import Running, binary
from bench.request import CIPHER, Request

SCRIPT = Path(__file__).with_name("load.lua")
LEAST_REFUSED = 0.99
"""Of requests that are to be refused: a rate limit lets one a second pass."""
TLS_1_2 = f"""
openssl_conf = all
[all]
ssl_conf = modules
[modules]
system_default = defaults
[defaults]
MaxProtocol = TLSv1.2
CipherString = {CIPHER}
"""
"""The client decides version and cipher, so that every server pays for the same."""


@dataclass(frozen=True)
class Wrk(Load):
    """A load: `connections` that send `request`.

    Figures: requests, per_second, answered_mb (a second), p50_ms, p99_ms.
    """

    request: Request
    connections: int = 64

    def __call__(self, running: Running, cores: Cores, seconds: float) -> Figures:
        """Load a server. Raises RuntimeError if one answer has another status, or a connection broke."""
        with tempfile.TemporaryDirectory() as folder:
            told = self._run(running, cores, max(1, round(seconds)), Path(folder))
        self._judge(running, told)
        return {
            "requests": told["requests"],
            "per_second": told["requests"] / told["seconds"],
            "answered_mb": told["bytes"] / told["seconds"] / 1e6,
            "p50_ms": told["p50_us"] / 1000,
            "p99_ms": told["p99_us"] / 1000,
        }

    def _run(self, running: Running, cores: Cores, seconds: int, folder: Path) -> dict[str, float]:
        connections, program = str(self.connections), binary("wrk") or "wrk"
        command = [program, "-t1", "-c", connections, "-d", f"{seconds}s", "--timeout", "60s", "-s", str(SCRIPT)]
        done = subprocess.run(
            [*command, running.url],
            env=os.environ | self._environment(running, folder),
            preexec_fn=lambda: os.sched_setaffinity(0, cores.load),
            capture_output=True,
            text=True,
            check=False,
        )
        last = done.stdout.rstrip().rpartition("\n")[2]
        if done.returncode or not last.startswith("{"):
            raise RuntimeError(f"wrk against {running.url}: {done.stderr.strip() or done.stdout}")
        told: dict[str, float] = json.loads(last)
        return told

    def _environment(self, running: Running, folder: Path) -> dict[str, str]:
        request, body, openssl = self.request, folder / "body", folder / "openssl.cnf"
        body.write_bytes(request.body)
        openssl.write_text(TLS_1_2, encoding="utf-8")
        return {
            "OPENSSL_CONF": str(openssl),
            "BENCH_METHOD": request.method,
            "BENCH_FIELDS": "\n".join(f"{name}: {value}" for name, value in request.headers(running).items()),
            "BENCH_BODY": str(body) if request.body else "",
            "BENCH_HEADS": "different" if request.different else "repeated",
            "BENCH_VARYING": request.varying,
            "BENCH_SERVICES": str(request.services),
        }

    def _judge(self, running: Running, told: dict[str, float]) -> None:
        share = told["refused"] / max(1, told["requests"])
        as_due = share > LEAST_REFUSED if self.request.status >= 400 else share == 0
        if not as_due or told["broken"] or told["timeouts"]:
            raise RuntimeError(f"{running.name} was to answer every request with {self.request.status}, but: {told}")
