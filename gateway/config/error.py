"""What is wrong in a configuration, and where: the values every other module here reports with.

Rule: an error names file, line and key, says what was expected and what to do, and never carries a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.config.stamp import Stamp

KeyPath = tuple[str | int, ...]
"""A key from the top of the file: `("services", "diabetes", "rate_limits", 0, "requests")`."""

_PLAIN_KEY = re.compile(r"[-\w]+")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key stands. `line` and `column` count from 1; None where there is no file (environment, command line)."""

    file: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class ConfigError:
    """One mistake. `key`: dotted path, variable or option; empty when the file as a whole is meant."""

    file: str
    line: int | None
    key: str
    reason: str

    def __str__(self) -> str:
        place = str(Place(self.file, self.line))
        return ": ".join(part for part in (place, self.key, self.reason) if part)


class ConfigErrors(ValueError):  # noqa: N818 - it is the sum of many ConfigError
    """All mistakes found in one reading, sorted by line; `str()` gives one line each.

    `files`: what was read until then, as `Loaded.files`.
    """

    files: Mapping[Path, Stamp] = {}

    def __init__(self, errors: Iterable[ConfigError]) -> None:
        """Keep the errors: those of the file by line, then those of the environment."""
        self.errors = tuple(sorted(set(errors), key=lambda e: (e.line is None, e.line or 0, e.file, e.key, e.reason)))
        super().__init__("\n".join(map(str, self.errors)))


def dotted(path: KeyPath) -> str:
    """The path as a person writes it: `services.diabetes.rate_limits[0].requests`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{part!r}]"
    return text
