"""What the demo says while it works: one line a step, with the seconds since the start.

On a terminal a step that takes long counts up in place; in a file or a pipe it says so every ten seconds.
"""

from __future__ import annotations

import sys
import time
from typing import TextIO

_REPEAT_SECONDS = 10.0


class Progress:
    """Lines with elapsed seconds on `stream` (standard output)."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._start = time.monotonic()
        self._in_place = self._stream.isatty()
        self._said = self._start

    def line(self, text: str) -> None:
        """Print one finished line."""
        self._write(f"{self._clear()}{self._stamp()} {text}\n")

    def waiting(self, text: str) -> None:
        """Show that `text` is still going on; to be called again and again."""
        if self._in_place:
            self._write(f"{self._clear()}{self._stamp()} {text} ...")
        elif time.monotonic() - self._said >= _REPEAT_SECONDS:
            self._write(f"{self._stamp()} still {text}\n")

    def plain(self, text: str) -> None:
        """Print text that people copy from: no stamp before it."""
        self._write(f"{self._clear()}{text}\n")

    def failure(self, text: str) -> None:
        """Print the reason of the end on standard error."""
        self._write(self._clear())
        sys.stderr.write(f"{text}\n")

    def _stamp(self) -> str:
        return f"[{time.monotonic() - self._start:6.1f} s]"

    def _clear(self) -> str:
        return "\r\x1b[K" if self._in_place else ""

    def _write(self, text: str) -> None:
        self._said = time.monotonic()
        self._stream.write(text)
        self._stream.flush()
