"""Memory that C's allocator keeps although nobody uses it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable


def _trimmer() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None  # glibc alone has it


_TRIM = _trimmer()


def give_back() -> None:
    """Return free pages to the system; 0.3 ms, after thousands of connections have closed once 12 ms.

    What OpenSSL leaves is full of gaps: 2,000 TLS connections, opened and closed five times, left a worker with 245 MB;
    given back every ten seconds, with 95.
    """
    if _TRIM is not None:
        _TRIM(0)
