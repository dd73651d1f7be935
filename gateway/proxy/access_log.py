"""The access log: one JSON object a request, on one line. Never a credential, a query or a body.

On the path of a request a record is only put into a list. A thread writes the batch out, so that a slow disk or a full
pipe delays nobody; what it cannot keep up with is dropped and counted, not held in memory.
"""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from gateway.proxy.trip import Trip

MAX_WAITING_BATCHES = 256
BATCH = 512
FLUSH_SECONDS = 0.25
ATOMIC_BYTES = 4096
"""Pipes take this much at once: lines of several workers do not run into each other."""


def line(trip: Trip, ended: float, wall: float) -> dict[str, Any]:
    """What the log says of a request. Milliseconds; a phase that was not reached is left out."""
    exchange, caller = trip.exchange, trip.exchange.caller
    record: dict[str, Any] = {
        "time": _timestamp(wall),
        "method": exchange.method.decode("latin-1"),
        "path": exchange.path.decode("latin-1"),
        "protocol": f"HTTP/{exchange.version}",
        "status": trip.status,
        "outcome": trip.outcome,
        "request_id": exchange.request_id,
        "client": exchange.address,
        "user_agent": exchange.fields.get(b"user-agent", b"")[:256].decode("latin-1"),
        "request_bytes": trip.received,
        "response_bytes": trip.sent_bytes,
        "total_ms": _ms(trip.started, ended),
    }
    optional = {
        "reason": trip.reason,
        "stage": trip.stage if trip.outcome != "ok" else "",
        "model_status": trip.model_status,
        "client_request_id": exchange.client_request_id,
        "auth_type": caller.auth_type if trip.route else "",
        "caller": "" if caller.slot or caller.auth_type == "none" else caller.subject,
        "key_id": caller.key_id,
        "slot": caller.slot,
        "service": trip.route.name if trip.route else "",
        "deployment": trip.deployment,
        "backend": trip.backend.url if trip.backend else "",
        "backend_address": trip.backend.address if trip.backend else "",
        "queue_ms": _ms(trip.queued, trip.admitted),
        "connect_ms": _ms(trip.admitted, trip.connected),
        "first_byte_ms": _ms(trip.sent, trip.answered),
        "body_ms": _ms(trip.answered, ended),
    }
    record.update((name, value) for name, value in optional.items() if value not in ("", 0, None))
    return record


def _ms(start: float, end: float) -> float | None:
    return round((end - start) * 1000, 2) if start and end else None


def _timestamp(wall: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(wall)) + f".{int(wall % 1 * 1000):03d}Z"


class AccessLog:
    """Collects the records of one worker and has a thread write them to a descriptor."""

    __slots__ = ("_batch", "_batches", "_call_later", "_fd", "_thread", "_timer", "dropped")

    def __init__(self, fd: int, call_later: Callable[[float, Callable[[], None]], Any]) -> None:
        """`fd`: stdout, or a file opened for appending. `call_later`: of the event loop."""
        self._fd = fd
        self._call_later = call_later
        self._timer: Any = None
        self._batch: list[tuple[Trip, float, float]] = []
        self._batches: queue.Queue[list[tuple[Trip, float, float]] | None] = queue.Queue(MAX_WAITING_BATCHES)
        self.dropped = 0
        self._thread = threading.Thread(target=self._write_out, name="access-log", daemon=True)
        self._thread.start()

    def record(self, trip: Trip, ended: float) -> None:
        """Note that a request has ended (monotonic seconds)."""
        self._batch.append((trip, ended, time.time()))
        if len(self._batch) >= BATCH:
            self.flush()
        elif self._timer is None:
            self._timer = self._call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Hand what was collected to the thread."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch, self._batch = self._batch, []
        if not batch:
            return
        try:
            self._batches.put_nowait(batch)
        except queue.Full:
            self.dropped += len(batch)

    def close(self, patience_seconds: float = 2.0) -> None:
        """Write the rest and end the thread."""
        self.flush()
        try:
            self._batches.put(None, timeout=patience_seconds)
        except queue.Full:
            return
        self._thread.join(patience_seconds)

    def _write_out(self) -> None:
        while (batch := self._batches.get()) is not None:
            part = bytearray()
            for entry in batch:
                text = json.dumps(line(*entry), separators=(",", ":")).encode() + b"\n"
                if part and len(part) + len(text) > ATOMIC_BYTES:
                    self._write(part)
                    part = bytearray()
                part += text
            self._write(part)

    def _write(self, data: bytearray) -> None:
        view = memoryview(bytes(data))
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            self.dropped += bytes(data).count(b"\n")
