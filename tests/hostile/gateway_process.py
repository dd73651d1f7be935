"""A gateway before backends of the tests: a real process, with short deadlines and known keys."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from gateway.client import Webservice, Workspace

KEY = "a-key-for-hostile-tests-000000000000"
WRONG_KEY = "another-key-for-hostile-tests-111111"
SECONDS_TO_START = 40


class GatewayProcess:
    """`scoregate serve` in a folder of its own; every service opens with KEY."""

    def __init__(self, folder: Path, services: dict[str, Any], *, tls: bool, **scoring: Any) -> None:
        self.folder = folder
        self._errors = folder / "errors.txt"
        ready_file = folder / "ready.json"
        config = folder / "gateway.yaml"
        config.write_text(yaml.safe_dump(_document(services, {"tls": {}} if tls else {"tls": None}, scoring)))
        with self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "serve", "--config", config, "--ready-file", ready_file],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                env=os.environ | {"SCOREGATE_EXIT_WITH_PARENT": "1", "HOSTILE_KEY": KEY, "HOSTILE_OTHER": KEY[::-1]},
                start_new_session=True,
            )
        try:
            self._await(ready_file)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        ready = json.loads(ready_file.read_text())
        self.tls = tls
        self.port = int(ready["scoring_url"].rpartition(":")[2])
        self.ca_file: str = ready["ca_file"]
        self._metrics_url = ready["metrics_url"]
        self._workspace = Workspace.from_ready_file(ready_file)

    def _await(self, ready_file: Path) -> None:
        deadline = time.monotonic() + SECONDS_TO_START
        while not ready_file.exists():
            assert self.process.poll() is None, self.errors
            assert time.monotonic() < deadline, self.errors[-2000:]
            time.sleep(0.02)

    @property
    def errors(self) -> str:
        """Its own log."""
        return self._errors.read_text()

    def outstanding(self, service: str) -> int:
        """Requests that the gateway believes to be at the backends of a service."""
        deployments = Webservice(self._workspace, service).status()["deployments"].values()
        return sum(backend["outstanding"] for deployment in deployments for backend in deployment["backends"])

    def held(self, *services: str, seconds: float = 5.0) -> dict[str, int]:
        """What has not been given back within this time: service → requests at its backends, "" → those under way."""
        deadline = time.monotonic() + seconds
        while True:
            counts = {name: self.outstanding(name) for name in services} | {"": self.in_flight()}
            held = {name: count for name, count in counts.items() if count}
            if not held or time.monotonic() > deadline:
                return held

    def in_flight(self) -> int:
        """Requests that the gateway believes to be under way, of all services."""
        with urllib.request.urlopen(self._metrics_url + "/metrics", timeout=10) as answer:
            families = text_string_to_metric_families(answer.read().decode())
            samples = [sample for family in families for sample in family.samples]
        return int(sum(sample.value for sample in samples if sample.name == "scoregate_requests_in_flight"))

    def resident_kilobytes(self) -> int:
        """Memory of all its processes."""
        pids = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return sum(_resident_kilobytes(pid) for pid in [str(self.process.pid), *pids])

    def stop(self) -> None:
        self._workspace.close()
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def _resident_kilobytes(pid: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


def _document(services: dict[str, Any], tls: dict[str, Any], scoring: dict[str, Any]) -> dict[str, Any]:
    keys = {"primary": "env:HOSTILE_KEY", "secondary": "env:HOSTILE_OTHER"}
    return {
        "data_dir": "var",
        "scoring": {"listen": "127.0.0.1:0", "workers": 1, "drain_seconds": 1} | tls | scoring,
        "admin": {"listen": "127.0.0.1:0", "tls": None},
        "metrics": {"listen": "127.0.0.1:0"},
        "logging": {"access_log": None},
        "services": {name: {"keys": keys, "health": None} | service for name, service in services.items()},
    }
