"""Two data planes, with and without the head memo, get the same bytes: nothing that comes of it may differ.

`HEAD_MEMO_SEED=123 .venv/bin/python -m pytest tests/proxy/test_head_memo_differential.py` plays that seed alone.
"""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))

from head_memo import mutants, seeds  # noqa: E402
from head_memo.landscape import Landscape  # noqa: E402
from head_memo.plane import DataPlane  # noqa: E402
from head_memo.virtual import Clock, virtual  # noqa: E402

from gateway.core.snapshot import Update  # noqa: E402

REQUESTS = 100_000
PROOF = 1_000_000

only_in_full = pytest.mark.skipif(seeds.REPLAY in os.environ, reason="one seed is replayed")


@pytest.mark.skipif(seeds.REPLAY not in os.environ, reason=f"{seeds.REPLAY} names no seed")
def test_one_seed() -> None:
    """The seed that HEAD_MEMO_SEED names."""
    played = seeds.play(int(os.environ[seeds.REPLAY]))
    assert not played.different, played.different


@only_in_full
def test_a_hundred_thousand_requests() -> None:
    """Random, mutated, pipelined and cut requests, while credentials change: the memo changes nothing but the cost."""
    played = seeds.play_everywhere(REQUESTS)
    assert not played.different, played.different
    assert played.requests >= REQUESTS
    assert played.recalled >= REQUESTS // 20, "the memo was hardly asked: this proves nothing"


@pytest.mark.prove
@only_in_full
def test_a_million_requests() -> None:
    """The same for a million requests."""
    played = seeds.play_everywhere(PROOF)
    assert not played.different, played.different
    assert played.requests >= PROOF


@only_in_full
def test_a_seed_is_a_seed() -> None:
    """A duel is the same in another process, where memory and hashes are laid out otherwise."""
    code = f"import sys; sys.path.insert(0, {str(FOLDER)!r}); from head_memo import seeds; print(seeds.digest(7))"
    other = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": "12345"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.strip() == seeds.digest(7)


@only_in_full
def test_a_removed_service_is_let_go() -> None:
    """An idle connection whose last request was recalled keeps nothing of a service that is gone."""
    clock = Clock()
    landscape = Landscape(random.Random(0), clock)
    with virtual(clock):
        plane = DataPlane(clock, 0, landscape.trust(), seeds.with_memo)
        plane.apply(landscape.everything(), landscape.hosts())
        plane.connect(1, "192.0.2.7", secure=False)
        plane.send(1, [b"GET /api/v1/service/open/score HTTP/1.1\r\nHost: a\r\n\r\n"] * 5)
        while plane.held:
            plane.let_go(0)
        assert plane.recalled
        pool = weakref.ref(next(route for route in plane.table if route.name == "open").pools[0][1])
        plane.apply(Update(serial=9, removed=("open",)), ())
        plane.pools.clear()
        gc.collect()
        assert pool() is None
        plane.close()


@pytest.fixture(scope="module")
def found() -> dict[str, str]:
    """What each mistake made differ, by its name."""
    return seeds.find_mistakes()


@only_in_full
@pytest.mark.parametrize("mistake", [mutant.mistake for mutant in mutants.MUTANTS])
def test_control_mistakes_are_found(found, mistake: str) -> None:
    """Control: a mistake put into the memo shows as a difference in one of the first seeds."""
    assert found[mistake], "nothing noticed it"
