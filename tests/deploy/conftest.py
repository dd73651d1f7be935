"""Programs that check deployment files: from this environment, else from the PATH."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the source tree."""
    return ROOT


@pytest.fixture(scope="session")
def checker() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a program at the top of the tree; a missing one skips with the line that installs it, and fails in CI."""

    def run(program: str, *arguments: str, install: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        folders = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        found = shutil.which(program, path=folders)
        if found is None:
            message = f"{program} is not installed: {install}"
            if os.environ.get("CI") == "true":
                pytest.fail(message)
            pytest.skip(message)
        return subprocess.run([found, *arguments], cwd=ROOT, input=stdin, capture_output=True, text=True, check=False)

    return run
