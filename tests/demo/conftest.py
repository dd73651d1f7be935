"""Looks at processes from outside, through /proc."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

Socket = tuple[str, int, int]
"""Local address in hexadecimal as /proc has it, local port, remote port (0: it listens)."""


@pytest.fixture(scope="session")
def processes_in() -> Callable[[Path], set[int]]:
    """Ids of the processes whose working directory is a folder."""

    def find(folder: Path) -> set[int]:
        found = set()
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
                if (entry / "cwd").readlink() == folder:
                    found.add(int(entry.name))
        return found

    return find


@pytest.fixture(scope="session")
def sockets_of() -> Callable[[Iterable[int]], list[Socket]]:
    """TCP sockets that processes hold open."""

    def find(pids: Iterable[int]) -> list[Socket]:
        inodes = {target for pid in pids for target in _descriptors(pid)}
        found = set()
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if f"socket:[{fields[9]}]" in inodes:
                    (address, port), (_, remote) = fields[1].split(":"), fields[2].split(":")
                    found.add((address, int(port, 16), int(remote, 16)))
        return sorted(found)

    return find


@pytest.fixture(scope="session")
def group_of() -> Callable[[int], set[int]]:
    """Ids of the processes of a process group."""

    def find(group: int) -> set[int]:
        found = set()
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(ProcessLookupError):
                if os.getpgid(int(entry.name)) == group:
                    found.add(int(entry.name))
        return found

    return find


def _descriptors(pid: int) -> Iterable[str]:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                yield str(entry.readlink())
