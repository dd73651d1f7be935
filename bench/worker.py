"""Loads that are programs of ours: a module of this package, run on the core of the load, told its task as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from bench.machine import Cores


def run(module: str, task: dict[str, Any], cores: Cores) -> dict[str, float]:
    """What the module prints as JSON. Raises RuntimeError with its complaint."""
    done = subprocess.run(
        [sys.executable, "-m", module],
        input=json.dumps(task),
        preexec_fn=lambda: os.sched_setaffinity(0, cores.load),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{module}: {done.stderr.strip().rpartition(chr(10))[2]}")
    told: dict[str, float] = json.loads(done.stdout)
    return told
