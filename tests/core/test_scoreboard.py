"""The protocol between control process and workers: the shared-memory form has all of it, for probes and for pools."""

from __future__ import annotations

import inspect

import pytest

from gateway.core.admission import Board
from gateway.core.ejection import Standings
from gateway.core.scoreboard import HealthBoard
from gateway.proxy.cells import SharedCells
from gateway.proxy.scoreboard import Seat


@pytest.mark.parametrize("protocol", [Board, Standings, HealthBoard])
def test_a_seat_has_what_the_protocols_ask(protocol, differences):
    """Every method by its name, every parameter in its place."""
    assert differences(protocol, Seat) == []


def test_control_a_form_of_something_else_is_told(differences, methods):
    """Rate-limit cells are no board: every method is missed."""
    assert differences(HealthBoard, SharedCells) == list(methods(HealthBoard))


def test_both_sides_mean_the_same_by_a_method(methods):
    """What both protocols name, one seat answers: the parameters must agree."""
    shared = (methods(Board) | methods(Standings)).keys() & methods(HealthBoard).keys()
    assert shared == {"healthy", "outstanding", "standing", "since"}
    for name in shared:
        assert inspect.signature(getattr(Board, name)) == inspect.signature(getattr(HealthBoard, name))
