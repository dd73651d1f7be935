"""Cancellation at every await: a stroke of fate exactly where a request waits, for each of its suspensions in turn."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import combinations, product

import mutants
import pytest
from ledger import Violation
from scripted import SCRIPTS, STROKES, TARGET, Script, ScriptedWorld


def suspensions(script: Script) -> int:
    """How often the request is suspended when nobody disturbs it."""
    world = ScriptedWorld(script, {})
    world.run()
    return world.pauses


def broken(script: Script, strokes: dict[int, str]) -> str:
    """What these strokes break; empty if nothing."""
    try:
        ScriptedWorld(script, strokes).run()
    except Violation as error:
        return f"{script.name}, {strokes}: {error}"
    return ""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_every_stroke_at_every_suspension(script: Script) -> None:
    """Client, deadline, backend, service, drain or death of the worker: everything is given back, nobody is lied to."""
    moments = range(1, suspensions(script) + 1)
    assert moments
    found = [broken(script, {moment: kind}) for moment, kind in product(moments, STROKES)]
    assert not any(found), "\n".join(filter(None, found))


@pytest.mark.prove
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_two_strokes(script: Script) -> None:
    """The same when a second stroke meets a request that has not got over the first."""
    pairs = list(combinations(range(1, suspensions(script) + 4), 2))
    found = [
        broken(script, {first: one, second: other})
        for (first, second), one, other in product(pairs, ("backend", "deadline", "client"), ("deadline", "client"))
    ]
    assert not any(found), "\n".join(filter(None, found))


def test_a_script_without_strokes_goes_well() -> None:
    """Control: undisturbed, the request is suspended in each phase, and its caller gets what the script says."""
    statuses = {}
    for script in SCRIPTS:
        world = ScriptedWorld(script, {})
        world.run()
        statuses[script.name] = world.ledger.fates[TARGET].status
    assert statuses.pop("stalled") == 0
    assert statuses.pop("answered early") == 413
    assert set(statuses.values()) == {200}


@pytest.mark.parametrize("mutant", [mutants.forgets_to_give_back, mutants.serves_the_dead], ids=lambda m: m.__name__)
def test_mistakes_are_found(mutant: mutants.Mutant) -> None:
    """Control: strokes find a request that does not clean up behind itself."""
    with ExitStack() as stack:
        mutant(stack)
        moments = range(1, suspensions(SCRIPTS[0]) + 1)
        assert any(broken(SCRIPTS[0], {moment: kind}) for moment, kind in product(moments, STROKES))
