"""Containers as processes of their own (`echo_server`), to be killed and started again on the same port."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from gateway.demo.ports import HOST, free_port

PROGRAM = Path(__file__).parent / "echo_server.py"
START_SECONDS = 20


class Container:
    """Running when made. `milliseconds`: how long it takes for a request. `status`: of its scores."""

    def __init__(self, folder: Path, *, milliseconds: float = 1.0, status: int = 200) -> None:
        self._journal = folder / "received.txt"
        self._port = free_port()
        self._milliseconds = milliseconds
        self.status = status
        self.url = f"http://{HOST}:{self._port}"
        self.start()

    def start(self) -> None:
        """Run it, again on the same port."""
        options = [
            "--port",
            str(self._port),
            "--journal",
            str(self._journal),
            "--milliseconds",
            f"{self._milliseconds}",
            "--status",
            f"{self.status}",
        ]
        self._process = subprocess.Popen([sys.executable, str(PROGRAM), *options], start_new_session=True)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self._process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def kill(self) -> None:
        """End it as kill -9 does."""
        self._process.kill()
        self._process.wait()

    def received(self) -> list[str]:
        """Ids of the requests that it received whole, also before it was killed."""
        return self._journal.read_text().split()

    def facts(self) -> dict[str, Any]:
        """Requests of this run, and how many at once."""
        with urllib.request.urlopen(self.url + "/facts", timeout=10) as answer:
            facts: dict[str, Any] = json.load(answer)
        return facts

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url, timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
