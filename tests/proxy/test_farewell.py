"""The end of a client's connection: who must see a reset, and who must not."""

from __future__ import annotations

import pytest

from gateway.proxy.farewell import Farewell


@pytest.fixture
def side(rig):
    """The transport of an open connection."""
    return rig.connect()


def test_end_of_an_answer_without_length(side) -> None:
    """While such an answer goes out, the end of this process would be a reset; once it is whole, the end is an end."""
    farewell = Farewell(side)
    farewell.tell_by_eof(secure=False)
    assert side.resets
    assert side.high == 0
    farewell.answered()
    assert not side.resets


def test_ordinary_answers_change_nothing(side) -> None:
    """An answer with a length says by itself whether it is whole."""
    Farewell(side).answered()
    assert not side.resets


@pytest.mark.parametrize(
    ("by_eof", "why", "resets"),
    [
        (False, "", False),
        (False, "is_cut", False),
        (True, "is_cut", True),
        (False, "is_unread", True),
        (False, "is_late", False),
    ],
)
def test_abort(side, by_eof: bool, why: str, resets: bool) -> None:
    """A cut answer without length and a client that does not read end in a reset; one that has all it was sent, not."""
    farewell = Farewell(side)
    farewell.by_eof = by_eof
    farewell.abort(is_cut=why == "is_cut", is_late=why == "is_late", is_unread=why == "is_unread")
    assert (side.aborted, side.resets) == (True, resets)


def test_late_reader_with_an_answer_on_its_way(side) -> None:
    """What the kernel still holds for a client whose time to read has passed is let go."""
    side.stall()
    side.write(b"x")
    Farewell(side).abort(is_cut=False, is_late=True, is_unread=False)
    assert side.resets


def test_reads_on(side) -> None:
    """A client reads on if it took its share since the last look and there is more for it."""
    farewell = Farewell(side)
    side.stall()
    side.write(b"x" * 4000)
    assert not farewell.reads_on(2.0)
    side.sip(1000)
    assert farewell.reads_on(2.0)
    assert not farewell.reads_on(2.0)
    side.sip(3000)
    assert not farewell.reads_on(2.0), "there is nothing left to read"
