"""Whole worlds: whatever callers, containers, kills and updates do, the gateway's promises hold. And controls."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import mutants
import pytest
import seeds
from ledger import Violation
from virtual_time import StuckError
from world import World

SEEDS = 200
MUTANT_SEEDS = 150
PROOF = 10_000


def test_seeds() -> None:
    """In each world permits, answers, bodies, queues, deadlines and records come out even."""
    broken = seeds.play_all(range(SEEDS))
    assert not broken, "\n".join(broken)


@pytest.mark.prove
def test_ten_thousand_seeds() -> None:
    """The same for 10,000 worlds."""
    broken = seeds.play_everywhere(PROOF)
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda mutant: mutant.__name__)
def test_mistakes_are_found(mutant: mutants.Mutant) -> None:
    """Control: a mistake put into the data plane breaks one of the first seeds."""
    with ExitStack() as stack:
        mutant(stack)
        assert seeds.first_broken(range(MUTANT_SEEDS)), f"{mutant.__doc__} Nothing noticed it."


def test_a_seed_is_a_seed() -> None:
    """A world is the same in another process, where memory and hashes are laid out otherwise."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_simulation as t; print(t.told(7))"
    )
    other = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": "12345"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.strip() == told(7)


def test_one_seed(capsys: pytest.CaptureFixture[str]) -> None:
    """The seed that was asked for, with everything that happens in it."""
    world = World(int(os.environ["SIMULATION_SEED"]), is_read=True)
    try:
        world.run()
    except (Violation, StuckError) as error:
        pytest.fail(f"{error}\n", pytrace=error.__cause__ is not None)
    finally:
        with capsys.disabled():
            sys.stdout.write("\n" + "\n".join(world.trace.lines) + "\n")


def told(seed: int) -> str:
    """Everything that happens in a world, and how many events that takes, in one word."""
    world = World(seed, is_read=True)
    world.run()
    return hashlib.sha256("\n".join([*world.trace.lines, str(world.events.count)]).encode()).hexdigest()
