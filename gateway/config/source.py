"""The configuration file of a gateway that runs: whether it changed, what it says now, and the last that was served.

Rule: what is served outlives the control process that read it, in memory and on no disk, since it holds secrets: a
control process that is replaced while the file is broken goes on with the last good configuration.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter

from gateway.config.error import ConfigErrors
from gateway.config.read import Loaded, load
from gateway.config.stamp import Stamp, stamp
from gateway.core.spec import ServiceSpec

DIGEST_BYTES = 32
_LOADED = TypeAdapter(Loaded)


class Source:
    """Made once, before the control process is forked; every control process has a copy, and all share what is kept."""

    def __init__(self, loaded: Loaded, environ: Mapping[str, str]) -> None:
        """`loaded`: what the gateway starts with; it must have come from a file."""
        assert loaded.path is not None
        self.name = str(loaded.path)
        self._path = loaded.path
        self._environ = environ
        self._memory = _anonymous_file()
        self._read: dict[Path, Stamp] = {}
        self._last: dict[Path, Stamp] = {}
        self._look_at(loaded.files)
        self._keep(loaded)

    def newest(self) -> Loaded:
        """What was kept last. Call it once, in a process that begins."""
        loaded = self._kept()
        self._look_at(loaded.files)
        return loaded

    def changed(self) -> bool:
        """Whether a file is another than at the last `read`, and the same as at the last look.

        One that is still being written is left alone: the first half of a file may well be a valid configuration.
        """
        now = {path: stamp(path) for path in self._read}
        is_at_rest, self._last = now == self._last, now
        return is_at_rest and now != self._read

    def read(self) -> Loaded:
        """Read it again. Raises ConfigErrors."""
        try:
            loaded = load(self._path, self._environ)
        except ConfigErrors as errors:
            self._look_at(errors.files)
            raise
        self._look_at(loaded.files)
        return loaded

    def keep(self, loaded: Loaded, services: Mapping[str, ServiceSpec]) -> None:
        """These services are served of what was read, or before it."""
        places = self._kept().places | loaded.places
        settings = replace(loaded.settings, services=dict(services))
        self._keep(replace(loaded, settings=settings, places={name: places[name] for name in services}))

    def close(self) -> None:
        """Forget what was kept."""
        os.close(self._memory)

    def _look_at(self, files: Mapping[Path, Stamp]) -> None:
        self._read, self._last = dict(files), dict(files)

    def _keep(self, loaded: Loaded) -> None:
        self._loaded = loaded
        content = _LOADED.dump_json(loaded)
        with open(self._memory, "r+b", closefd=False) as memory:
            memory.seek(0)
            memory.write(hashlib.sha256(content).digest() + content)
            memory.truncate()

    def _kept(self) -> Loaded:
        # Another process may have died in the middle of its writing: then what this one started with must do.
        with open(self._memory, "rb", closefd=False) as memory:
            memory.seek(0)
            digest, content = memory.read(DIGEST_BYTES), memory.read()
        return _LOADED.validate_json(content) if hashlib.sha256(content).digest() == digest else self._loaded


def _anonymous_file() -> int:
    """A descriptor of a file that has no name and is inherited by forked processes."""
    if sys.platform == "linux":
        return os.memfd_create("scoregate-configuration")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
