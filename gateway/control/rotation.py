"""Which key signs tokens, which comes next, which only verifies: pure steps from one state of the records to the next.

There is always one active key, and one next that is published while the other signs: whoever verifies tokens knows it
before its first one. A key that signs no more verifies until its last token has expired, and is then forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from gateway.core.jwk import Algorithm
from gateway.core.record import SigningKeyRecord

MARGIN = timedelta(seconds=60)
"""Another replica may sign on for a moment with a key that retires."""

Records = Sequence[SigningKeyRecord]
Make = Callable[[Algorithm], SigningKeyRecord]
"""Makes a new key, in the state `next`."""


class TooSoon(Exception):  # noqa: N818 - a state of affairs the caller may meet, no mistake
    """The next key is too new to sign. `seconds`: until it may."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Schedule:
    """`algorithm`: of the keys made at a start. `period`: how long a key signs. `lifetime_seconds`: longest of a token.

    `ahead`: how long a key is published before it signs, so that other replicas have learned it.
    """

    algorithm: Algorithm
    period: timedelta
    lifetime_seconds: int
    ahead: timedelta


def active(records: Records) -> SigningKeyRecord:
    """The key that signs."""
    return next(record for record in records if record.state == "active")


def last_expiry(records: Records, now: datetime) -> datetime:
    """When the last token has expired that any of the keys may have signed until now."""
    signing = active(records)
    return max([_end(signing, now), *(record.not_after for record in records if record.not_after)])


def begun(records: Records, schedule: Schedule, now: datetime, make: Make) -> Records:
    """At a start: the first keys where there are none; the next one is of the algorithm that is asked for now.

    Only here: replicas that are configured differently for a while must not undo each other's keys again and again.
    """
    signing, following, retiring = _sorted(records)
    if signing is None:
        signing = replace(make(schedule.algorithm), state="active", signs_from=now)
    if following is None or following.algorithm != schedule.algorithm:
        following = make(schedule.algorithm)
    return kept_up([*retiring, signing, following], schedule, now, make)


def kept_up(records: Records, schedule: Schedule, now: datetime, make: Make) -> Records:
    """What time brings: dead keys go, and the next one signs when the active one has had its time."""
    signing, following, retiring = _sorted(records)
    assert signing is not None
    signing = replace(
        signing,
        signs_from=signing.signs_from or signing.created_at,
        lifetime_seconds=max(signing.lifetime_seconds, schedule.lifetime_seconds),
    )
    following = following or make(signing.algorithm)
    ends = ((record, record.not_after or _end(record, now)) for record in retiring)
    alive = [replace(record, state="retiring", not_after=end) for record, end in ends if end > now]
    assert signing.signs_from is not None
    after = [*alive, signing, following]
    is_due = now >= signing.signs_from + schedule.period or following.algorithm != signing.algorithm
    if is_due and now >= following.created_at + schedule.ahead:
        return _succeeded(after, schedule, now, make)
    return after


def rotated(records: Records, schedule: Schedule, now: datetime, make: Make, *, revoke: bool = False) -> Records:
    """The next key signs. `revoke`: all others verify no more, and with them every token there is. Raises TooSoon."""
    before = kept_up(records, schedule, now, make)
    following = next(record for record in before if record.state == "next")
    seconds = (following.created_at + schedule.ahead - now).total_seconds()
    if seconds > 0:
        raise TooSoon(seconds)
    after = _succeeded(before, schedule, now, make)
    return [record for record in after if record.state != "retiring"] if revoke else after


def _succeeded(records: Records, schedule: Schedule, now: datetime, make: Make) -> Records:
    """The next key signs, the active one retires, and another is made."""
    signing, following, retiring = _sorted(records)
    assert signing is not None
    assert following is not None
    retired = replace(signing, state="retiring", not_after=_end(signing, now))
    successor = replace(following, state="active", signs_from=now, lifetime_seconds=schedule.lifetime_seconds)
    return [*retiring, retired, successor, make(following.algorithm)]


def _end(signing: SigningKeyRecord, now: datetime) -> datetime:
    return now + timedelta(seconds=signing.lifetime_seconds) + MARGIN


def _sorted(records: Records) -> tuple[SigningKeyRecord | None, SigningKeyRecord | None, list[SigningKeyRecord]]:
    """The active key, the next one, and the others that may have signed."""
    active_ones = [record for record in records if record.state == "active"]
    next_ones = [record for record in records if record.state == "next"]
    retiring = [record for record in records if record.state == "retiring"]
    signing = active_ones[-1] if active_ones else None
    return signing, next_ones[0] if next_ones else None, [*retiring, *active_ones[:-1]]
