"""How a worker tells the uses of keys: by the hour, each once, again until it is stored."""

from __future__ import annotations

import pytest

from gateway.core.message import Uses
from gateway.core.record import KeyUseRecord
from gateway.proxy import uses as module
from gateway.proxy.meters import Meters
from gateway.proxy.uses import KeyUses

HOUR = 495_000
START = HOUR * 3600.0


@pytest.fixture
def meters() -> Meters:
    return Meters()


def use(meters: Meters, count: int = 1, key: str = "k_1", service: str = "svc") -> None:
    meters.of(service).uses[key] += count


def record(uses: int, hour: int = HOUR, last: float = START, key: str = "k_1", service: str = "svc") -> KeyUseRecord:
    return KeyUseRecord(service, key, hour, uses, int(last))


def test_counts_become_records_of_their_hour(meters) -> None:
    """Each key apart, added up within an hour, with the time at which they were last put down."""
    uses = KeyUses(meters)
    use(meters, 2)
    use(meters, 5, key="k_2", service="other")
    uses.note(START)
    use(meters)
    uses.note(START + 1800)
    use(meters)
    uses.note(START + 3600)
    uses.note(START + 7200)
    assert uses.next() == Uses(
        1,
        [
            record(3, last=START + 1800),
            record(5, key="k_2", service="other"),
            record(1, HOUR + 1, START + 3600),
        ],
    )


def test_one_message_at_a_time(meters) -> None:
    """While it is under way there is no other; over a new connection it is the same; once stored it is gone."""
    uses = KeyUses(meters)
    assert uses.next() is None
    assert uses.is_told
    use(meters)
    uses.note(START)
    first = uses.next()
    use(meters, 4)
    uses.note(START)
    assert (first, uses.next(), uses.again()) == (Uses(1, [record(1)]), None, first)
    uses.stored(7)
    assert uses.again() is first
    uses.stored(1)
    assert not uses.is_told
    assert uses.again() == Uses(2, [record(4)])
    uses.stored(2)
    assert uses.is_told


def test_a_message_has_an_end(meters, monkeypatch) -> None:
    """What one transaction shall not hold comes with the next message."""
    monkeypatch.setattr(module, "MAX_RECORDS", 2)
    uses = KeyUses(meters)
    for key in ("k_1", "k_2", "k_3"):
        use(meters, key=key)
    uses.note(START)
    assert [one.key_id for one in uses.next().records] == ["k_1", "k_2"]
    uses.stored(1)
    assert [one.key_id for one in uses.next().records] == ["k_3"]


def test_what_waits_is_bounded(meters, monkeypatch) -> None:
    """With the control process away for long the oldest go; memory stays."""
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    uses = KeyUses(meters)
    for number in range(5):
        use(meters, number + 1)
        uses.note(START + 3600 * number)
    assert uses.next() == Uses(1, [record(4, HOUR + 3, START + 3600 * 3), record(5, HOUR + 4, START + 3600 * 4)])


def test_control_a_count_that_is_not_taken_away_is_seen(meters) -> None:
    """Control: who reads the counts without clearing them tells them twice."""

    class Forgetful(Meters):
        def take_uses(self):
            for one in self._services.values():
                yield from ((one.name, key, count) for key, count in one.uses.items())

    forgetful = Forgetful()
    uses = KeyUses(forgetful)
    use(forgetful)
    uses.note(START)
    uses.note(START)
    assert uses.next() != Uses(1, [record(1)])
