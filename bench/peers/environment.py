"""Peers that come from the Python package index: each in an environment of its own, made once and kept."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

FOLDER = Path("var/bench/peers").resolve()


def installed(name: str, requirement: str) -> Callable[[], str | None]:
    """An `obtain`: the packages of `requirement` in `FOLDER/name`; a mark there says that it was completed."""

    def obtain() -> str | None:
        home, mark = FOLDER / name, FOLDER / name / requirement.replace("/", "-")
        if mark.exists():
            return None
        print(f"installing {requirement} into {home} (once)", file=sys.stderr, flush=True)
        commands = [
            [sys.executable, "-m", "venv", "--clear", str(home)],
            [str(home / "bin" / "pip"), "install", "--quiet", "--only-binary", ":all:", requirement],
        ]
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                said = (done.stderr.strip() or done.stdout.strip()).rpartition("\n")[2]
                return f"it could not be installed ({said}). Where an index is reached: {' '.join(command)}"
        mark.touch()
        return None

    return obtain


def program(name: str) -> Path:
    """The program of that name in the environment of that name."""
    return FOLDER / name / "bin" / name
