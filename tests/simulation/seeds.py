"""Many seeds, in this process or in as many as there are processors; a failing one says how to see it again."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor

from ledger import Violation
from virtual_time import StuckError
from world import World

BLOCK = 100


def play(seed: int) -> str:
    """What a seed breaks, and how to replay it; empty if nothing."""
    try:
        World(seed).run()
    except (Violation, StuckError) as error:
        return f"seed {seed}, {error}\n  SIMULATION_SEED={seed} .venv/bin/python -m pytest tests/simulation -q"
    return ""


def play_all(seeds: Iterable[int]) -> list[str]:
    """What these seeds break, one text for each that does."""
    return [text for text in map(play, seeds) if text]


def play_everywhere(count: int) -> list[str]:
    """What the seeds from 0 on break, on all processors."""
    blocks = [range(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=context) as pool:
        return [text for found in pool.map(play_all, blocks) for text in found]


def first_broken(seeds: Iterable[int]) -> str:
    """What the first of these seeds that breaks anything does; empty if none."""
    return next(filter(None, map(play, seeds)), "")
