"""Many duels, on all processors; one that shows a difference says how to see it again."""

from __future__ import annotations

import hashlib
import itertools
import multiprocessing
import os
import traceback
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from head_memo.duel import DifferenceError, Duel
from head_memo.mutants import MUTANTS
from head_memo.plane import MakeMemo
from head_memo.traffic import HEAD_LIMIT

from gateway.core.route import RouteTable
from gateway.policy import World
from gateway.proxy.memo import HeadMemo

REPLAY = "HEAD_MEMO_SEED"
BLOCK = 10
MUTANT_SEEDS = 80
AHEAD = 4
ENTRIES = (1_024, 8)


@dataclass(frozen=True, slots=True)
class Played:
    """Requests served, how many of them the memo knew; what differs and how to replay it, empty if nothing does."""

    requests: int
    recalled: int
    different: str = ""

    def __add__(self, other: Played) -> Played:
        different = "\n".join(filter(None, (self.different, other.different)))
        return Played(self.requests + other.requests, self.recalled + other.recalled, different)


def without(*_: object) -> None:
    """No memo."""


def with_memo(seed: int, table: RouteTable, world: World) -> HeadMemo:
    """A memo: large, or so small that it forgets all the time."""
    return HeadMemo(ENTRIES[seed % len(ENTRIES)], HEAD_LIMIT, table, world)


def play(seed: int, on: MakeMemo = with_memo) -> Played:
    """One duel of a data plane without memo and one with this one."""
    duel = Duel(seed, without, on)
    how = f"{REPLAY}={seed} .venv/bin/python -m pytest tests/proxy/test_head_memo_differential.py"
    try:
        duel.run()
    except DifferenceError as error:
        return Played(duel.requests, duel.recalled, f"{error}\n  {how}")
    except Exception:  # noqa: BLE001 - a data plane that breaks differs from one that does not
        return Played(duel.requests, duel.recalled, f"seed {seed}: {traceback.format_exc()}\n  {how}")
    return Played(duel.requests, duel.recalled)


def play_everywhere(requests: int) -> Played:
    """Play seeds from 0 on, until so many requests were served or something differs."""
    total = Played(0, 0)
    with _processes() as pool:
        for played in _in_order(pool):
            total += played
            if total.different or total.requests >= requests:
                break
    return total


def find_mistakes() -> dict[str, str]:
    """For each mistake what differs in the first of the seeds from 0 on in which anything does; empty if nothing."""
    names = [mutant.mistake for mutant in MUTANTS]
    with _processes() as pool:
        return dict(zip(names, pool.map(_find, range(len(MUTANTS))), strict=True))


def _find(number: int) -> str:
    with MUTANTS[number].at_work():
        return next((played.different for played in map(play, range(MUTANT_SEEDS)) if played.different), "")


def digest(seed: int) -> str:
    """Of everything that comes out of a seed."""
    total = hashlib.blake2b()
    duel = Duel(seed, without, with_memo)
    duel.tell = lambda text: total.update(text.encode())
    duel.run()
    return total.hexdigest()


def _processes() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=multiprocessing.get_context("spawn"))


def _in_order(pool: ProcessPoolExecutor) -> Iterator[Played]:
    """Blocks of seeds, a few ahead of the one that is looked at."""
    ahead = deque(pool.submit(_block, number) for number in range(AHEAD))
    for number in itertools.count(AHEAD):
        try:
            yield ahead.popleft().result()
        except GeneratorExit:
            pool.shutdown(cancel_futures=True)
            raise
        ahead.append(pool.submit(_block, number))


def _block(number: int) -> Played:
    return sum(map(play, range(number * BLOCK, (number + 1) * BLOCK)), Played(0, 0))
