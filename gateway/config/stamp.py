"""What tells one state of a file from another without reading it.

Rule: links are followed, so that a ConfigMap that Kubernetes swaps by its link is another file; a missing file is a
state too.
"""

from __future__ import annotations

from pathlib import Path

Stamp = tuple[int, int, int, int]
MISSING: Stamp = (0, 0, 0, 0)


def stamp(path: Path) -> Stamp:
    """The state of a file now."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return MISSING
    return (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
