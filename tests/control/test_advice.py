"""Is it safe to regenerate this key? Every answer there is, and that none of them is too quick with a yes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.control.advice import advice
from gateway.control.uses import Uses
from gateway.core.record import FormerKey, KeyRecord, KeyUseRecord, Sealed

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SEALED = Sealed("d1", b"")
RECORD = KeyRecord(
    service="diabetes", slot="secondary", id="k_1", version=1, value=SEALED, created_at=NOW - timedelta(days=90)
)


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def used(*uses: tuple[str, datetime, int]) -> Uses:
    """(id, when, how often): as it is known now."""
    records = [
        KeyUseRecord("diabetes", key_id, int(when.timestamp()) // 3600, count, int(when.timestamp()))
        for key_id, when, count in uses
    ]
    return Uses(records, clock=NOW.timestamp)


CASES = [
    ({}, [("k_1", ago(days=3), 8)], True, "last used 3 days ago, 0 uses in 24 h: safe to regenerate"),
    ({}, [], True, "never used, 0 uses in 24 h: safe to regenerate"),
    ({}, [("k_1", ago(hours=25.5), 1)], True, "last used 1 day ago, 0 uses in 24 h: safe to regenerate"),
    ({}, [("k_1", ago(seconds=2), 5)], False, "last used just now, 5 uses in 24 h: not safe to regenerate, move"),
    ({}, [("k_1", ago(hours=23), 1)], False, "last used 23 hours ago, 1 use in 24 h: not safe to regenerate, move"),
    ({}, [("k_1", ago(hours=24), 1)], False, "last used 1 day ago, 1 use in 24 h: not safe to regenerate, move"),
    (
        {"created_at": ago(hours=2)},
        [],
        False,
        "never used, 0 uses in 24 h: too early to tell, its uses are counted for 2 hours only",
    ),
    (
        {"counted_from": ago(minutes=1)},
        [],
        False,
        "never used, 0 uses in 24 h: too early to tell, its uses are counted for 1 minute only",
    ),
    (
        {"expires_at": ago(seconds=30)},
        [("k_1", ago(minutes=5), 7)],
        True,
        "last used 5 minutes ago, 7 uses in 24 h: expired 30 seconds ago, safe to regenerate",
    ),
    ({"expires_at": ago(days=-1)}, [("k_1", ago(minutes=5), 7)], False, "last used 5 minutes ago, 7 uses in 24 h: not"),
    (
        {"former": FormerKey("k_0", SEALED, ago(hours=-1))},
        [("k_0", ago(minutes=5), 7)],
        False,
        "never used, 0 uses in 24 h: not safe to regenerate, the key before it is in its grace and was used 7 times",
    ),
    (
        {"former": FormerKey("k_0", SEALED, ago(hours=-1))},
        [("k_0", ago(minutes=5), 1)],
        False,
        "never used, 0 uses in 24 h: not safe to regenerate, the key before it is in its grace and was used once",
    ),
    ({"former": FormerKey("k_0", SEALED, ago(hours=-1))}, [], True, "never used, 0 uses in 24 h: safe to regenerate"),
    ({"former": FormerKey("k_0", SEALED, NOW)}, [("k_0", ago(minutes=5), 7)], True, "never used, 0 uses in 24 h: safe"),
]


@pytest.mark.parametrize(("change", "uses", "is_safe", "sentence"), CASES)
def test_the_answers(change, uses, is_safe: bool, sentence: str) -> None:
    """A yes only for a slot none of whose values opened anything for 24 hours, and that was watched for so long."""
    said = advice(replace(RECORD, **change), used(*uses), NOW)
    assert said.is_safe is is_safe
    assert said.sentence.startswith(f"secondary: {sentence}")
    assert ("safe to regenerate" in said.sentence.replace("not safe", "")) is is_safe


def test_control_a_clock_that_is_a_day_ahead_is_seen() -> None:
    """Control: who forgets uses too early says yes where the table says no."""
    forgetful = used(("k_1", ago(hours=23), 1))
    forgetful._clock = (NOW + timedelta(days=2)).timestamp
    assert advice(RECORD, forgetful, NOW).is_safe
