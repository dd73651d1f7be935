"""What changes a gateway that runs, and the clients that must not notice."""

from __future__ import annotations

import signal
import ssl
import threading
from http.client import HTTPException
from typing import Any, Self

from running_gateway import JSON, RunningGateway, write_config
from wire import bearer

CLIENTS = 4


def rewrite(gateway: RunningGateway, services: dict[str, Any], **sections: Any) -> None:
    """Another gateway.yaml under the same name, as a careful editor writes it."""
    scratch = gateway.folder / "scratch"
    scratch.mkdir(exist_ok=True)
    write_config(scratch, services, **sections).replace(gateway.folder / "gateway.yaml")


def reloads(gateway: RunningGateway, result: str) -> float:
    return gateway.metrics()["scoregate_config_reloads_total", result]


def reload(
    gateway: RunningGateway, services: dict[str, Any] | None, *, result: str = "success", **sections: Any
) -> None:
    """Write the file (None: leave it), send SIGHUP, and wait until a reload ended as it should."""
    before = reloads(gateway, result)
    if services is not None:
        rewrite(gateway, services, **sections)
    gateway.process.send_signal(signal.SIGHUP)
    gateway.until(lambda: reloads(gateway, result) > before)


class Load:
    """Clients that score without a pause: some on a kept connection, one on a new connection each time."""

    def __init__(self, gateway: RunningGateway, name: str, context: ssl.SSLContext) -> None:
        self._gateway, self._name, self._context = gateway, name, context
        self._headers = JSON | bearer(gateway.keys(name)[0])
        self._stop = threading.Event()
        self.served = 0
        self.failed: list[str] = []
        self._threads = [threading.Thread(target=self._run, args=(number > 0,)) for number in range(CLIENTS + 1)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, keeps: bool) -> None:
        wire = self._gateway.wire(context=self._context)
        while not self._stop.is_set():
            try:
                answer = wire.ask("POST", self._gateway.path(self._name), b'{"data": 1}', self._headers)
                if (answer.status, answer.body) == (200, b'{"data": 1}'):
                    self.served += 1
                else:
                    self.failed.append(f"{answer.status} {answer.text}")
            except (OSError, HTTPException) as error:
                self.failed.append(repr(error))
            if not keeps:
                wire.__exit__()
        wire.__exit__()
