"""The file of the bootstrap token, looked at while the gateway runs: another token there opens, the old one ends."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from gateway.control.founding import read_admin_token
from gateway.control.refusal import StartError

LOOK_SECONDS = 1.0
Stamp = tuple[int, int, int]

log = logging.getLogger("gateway.control")


class TokenFile:
    """Tells `replaced` the token, each time that the file holds another one. What cannot be read changes nothing."""

    def __init__(self, path: Path, token: str, replaced: Callable[[str], None]) -> None:
        """`token`: the one that opens now."""
        self._path = path
        self._token = token
        self._replaced = replaced
        self._stamp: Stamp | None = None

    def look(self) -> None:
        """See whether the file is another one. Never raises."""
        stamp = _stamp(self._path)
        if stamp is None or stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            token = read_admin_token(self._path)
        except StartError as error:
            # The text says what to do about it: where it was raised tells an operator nothing.
            log.error("%s; the token before it stays in force", error)  # noqa: TRY400
            return
        if token != self._token:
            self._token = token
            self._replaced(token)
            log.info("the admin token in %s is another one now: the old one opens nothing any more", self._path)


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
