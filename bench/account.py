"""What processes used, by the kernel's books: CPU time in nanoseconds, memory without counting shared pages twice."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """A process and all its descendants that live now."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        if fields := _fields(path):
            children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of these processes; one that has ended counts nothing."""
    return sum(_cpu_seconds(pid) for pid in pids)


def memory_bytes(pids: Iterable[int]) -> int:
    """Resident memory of these processes, a page that several share counted once (PSS)."""
    return sum(_proportional_bytes(pid) for pid in pids)


def _cpu_seconds(pid: int) -> float:
    """Nanoseconds of the scheduler where the kernel keeps them; the ticks of `stat` (10 ms each) elsewhere."""
    threads = [_read(path).split() for path in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    if any(threads):
        return sum(int(fields[0]) for fields in threads if fields) / 1e9
    fields = _fields(Path(f"/proc/{pid}/stat"))
    return (int(fields[11]) + int(fields[12])) / _TICKS if fields else 0.0


def _fields(stat: Path) -> list[str]:
    """State, parent and the rest of what follows the name, which may hold anything."""
    return _read(stat).rpartition(")")[2].split()


def _proportional_bytes(pid: int) -> int:
    for line in _read(Path(f"/proc/{pid}/smaps_rollup")).splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _read(path: Path) -> str:
    """Empty when the process ended meanwhile."""
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return ""
