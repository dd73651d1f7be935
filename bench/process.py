"""Servers of the benchmark: started on their cores, awaited until they accept, ended with the block that needs them."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

PATIENCE_SECONDS = 60.0
"""How long a server may take to its first accepted connection."""


@contextmanager
def server(
    command: Sequence[object],
    cores: frozenset[int],
    log: Path,
    environment: Mapping[str, str] | None = None,
    port: int = 0,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process on these cores, ended by SIGTERM; what it says goes to `log`. With `port`: yielded once it accepts."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | dict(environment or {}),
            preexec_fn=lambda: os.sched_setaffinity(0, cores),  # noqa: PLW1509 - this process has one thread
        )
    try:
        if port:
            until(lambda: accepts(port), process, log)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(
    condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, patience: float = PATIENCE_SECONDS
) -> None:
    """Wait for the condition. Raises RuntimeError with the last words of the process if it ends or takes too long."""
    deadline = time.monotonic() + patience
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(encoding="utf-8", errors="replace")[-2000:]
            how = f"ended with {process.returncode}" if process.returncode is not None else "does not accept"
            raise RuntimeError(f"{process.args!r} {how}. {log} ends with:\n{said}")
        time.sleep(0.05)


def accepts(port: int) -> bool:
    """Whether somebody takes connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
