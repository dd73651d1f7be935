"""What one request costs, counted and not timed: run as a program of its own, with hashes fixed, by `bench.cost`.

Prints JSON: scenario → counts per request. Instructions are written down by callgrind, if it runs this.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import gateway
from bench.callgrind import Collector
from bench.one_worker import HEADS, OneWorker, requests
from gateway.proxy.journey import PAUSE

OURS = str(Path(gateway.__file__).parent) + "/"
WARM_UP = 200
"""Requests before counting: until then the interpreter still specialises its code, and caches are empty."""
TRACED = 20
"""Requests whose bytecodes are followed one by one."""
Step = Callable[[], None]
"""The next request of a scenario."""


def scenarios(worker: OneWorker, most: int) -> Iterator[tuple[str, Step]]:
    """Name and step of each; `most`: how many steps there are."""
    for kind in ("key", "token"):
        credential = worker.credential(kind)
        yield f"decide and settle, {kind}", worker.decide_and_settle(credential)
        for heads in (*HEADS, "repeated"):
            told = iter(requests(credential, most, heads))
            yield f"hop, {kind}, {heads} heads", lambda told=told: worker.hop(next(told))  # type: ignore[misc]


class Trace:
    """Follows every bytecode of the gateway: how many there are, and how many blocks of memory they take.

    A block is what CPython's allocator hands out (up to 512 bytes); those that one bytecode takes and gives back, and
    objects that the interpreter keeps on free lists, do not show.
    """

    def __init__(self) -> None:
        self.bytecodes: Counter[CodeType] = Counter()
        self.blocks: Counter[CodeType] = Counter()
        self._before = 0
        self._local = self._follow  # bound once: else each function followed would hold a block more

    def __call__(self, frame: FrameType, *_: Any) -> Any:
        """Of sys.settrace: a function begins. Its frame became an object for our sake alone."""
        if not frame.f_code.co_filename.startswith(OURS):
            return None
        caller = frame.f_back or frame
        self._note(caller.f_code, sys.getallocatedblocks() - self._before - 1)
        self._before = sys.getallocatedblocks()
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._local

    def _follow(self, frame: FrameType, event: str, _: Any) -> Any:
        now = sys.getallocatedblocks()
        if event == "opcode":
            self.bytecodes[frame.f_code] += 1
            self._note(frame.f_code, now - self._before)
        self._before = sys.getallocatedblocks() - 1  # `now` is one of them
        return self._local

    def _note(self, code: CodeType, blocks: int) -> None:
        if blocks > 0:
            self.blocks[code] += blocks

    def run(self, step: Step) -> None:
        """Follow TRACED requests, after as many uncounted ones: what is followed is prepared for it then."""
        self._follow_all(step)
        self.bytecodes.clear()
        self.blocks.clear()
        self._follow_all(step)

    def _follow_all(self, step: Step) -> None:
        self._before = sys.getallocatedblocks()
        sys.settrace(self)
        try:
            for _ in range(TRACED):
                step()
        finally:
            sys.settrace(None)


class Suspensions:
    """How often requests waited: PAUSE awaited."""

    def __init__(self) -> None:
        self.count = 0

    def run(self, step: Step) -> None:
        """Count those of TRACED requests."""
        kind: Any = type(PAUSE)
        original = kind.__await__

        def counted(pause: Any) -> Any:
            self.count += 1
            return original(pause)

        kind.__await__ = counted
        try:
            for _ in range(TRACED):
                step()
        finally:
            kind.__await__ = original


def instructions(step: Step, name: str, asked: int, collector: Collector) -> None:
    """Have callgrind count the instructions of this many requests."""
    collector.start()
    for _ in range(asked):
        step()
    collector.stop(name)


def by_function(step: Step) -> list[tuple[str, float, float]]:
    """(function, bytecodes, blocks of memory) per request, the longest first."""
    trace = Trace()
    trace.run(step)
    found = [
        (f"{code.co_filename.removeprefix(OURS)} {code.co_qualname}", number / TRACED, trace.blocks[code] / TRACED)
        for code, number in trace.bytecodes.items()
    ]
    return sorted(found, key=lambda entry: -entry[1])


def rest(worker: OneWorker, step: Step) -> dict[str, float]:
    """Everything else that is counted, per request."""
    before = worker.client.writes, worker.backend.writes
    suspensions, trace = Suspensions(), Trace()
    suspensions.run(step)
    after = worker.client.writes, worker.backend.writes
    cycles = gc.collect()
    trace.run(step)
    figures = {
        "bytecodes": trace.bytecodes.total(),
        "allocations": trace.blocks.total(),
        "suspensions": suspensions.count,
        "writes to the client": after[0] - before[0],
        "writes to the backend": after[1] - before[1],
        "left to the garbage collector": cycles,
    }
    return {name: number / TRACED for name, number in figures.items()}


def main() -> int:
    """Count every scenario."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, help="count the instructions of so many, and nothing else")
    parser.add_argument("--functions", action="store_true", help="bytecodes and blocks by function")
    parser.add_argument("--memo", choices=("on", "off"), required=True)
    options = parser.parse_args()
    gc.disable()
    worker, collector = OneWorker(memo=options.memo == "on"), Collector()
    figures: dict[str, Any] = {}
    for name, step in scenarios(worker, WARM_UP + (options.requests or 3 * TRACED)):
        for _ in range(WARM_UP):
            step()
        gc.collect()
        gc.freeze()
        if options.functions:
            figures[name] = by_function(step)
        elif options.requests:
            instructions(step, name, options.requests, collector)
        else:
            figures[name] = rest(worker, step)
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
