"""Is it safe to regenerate this key? A plain answer, from when its values were used. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.control.uses import Use, Uses
from gateway.core.record import FormerKey, KeyRecord

QUIET = timedelta(hours=24)
_UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


@dataclass(frozen=True, slots=True)
class Advice:
    """`use`: of the key. `former`: the one before it, while it opens, and its use. `sentence`: begins with the slot."""

    use: Use
    former: FormerKey | None
    former_use: Use | None
    is_safe: bool
    sentence: str


def advice(record: KeyRecord, uses: Uses, now: datetime) -> Advice:
    """Safe: no value of the slot was used in 24 hours, and for so long they were counted; or it has expired."""
    use, former = uses.of(record.id), record.former
    if former is not None and former.until <= now:
        former = None
    former_use = None if former is None else uses.of(former.id)
    is_safe, verdict = _verdict(record, use, former_use, now)
    return Advice(use, former, former_use, is_safe, f"{record.slot}: {_used(use, now)}: {verdict}")


def _verdict(record: KeyRecord, use: Use, former: Use | None, now: datetime) -> tuple[bool, str]:
    if record.expires_at is not None and record.expires_at <= now:
        return True, f"expired {_ago(now - record.expires_at)}, safe to regenerate"
    if use.uses_24h:
        return False, "not safe to regenerate, move its callers to the other key first or give a grace"
    if former is not None and former.uses_24h:
        times = "once" if former.uses_24h == 1 else f"{former.uses_24h} times"
        return False, f"not safe to regenerate, the key before it is in its grace and was used {times} in 24 h"
    counted = now - max(record.created_at, record.counted_from or record.created_at)
    if counted < QUIET:
        return False, f"too early to tell, its uses are counted for {_span(counted)} only"
    return True, "safe to regenerate"


def _used(use: Use, now: datetime) -> str:
    last = "never used" if use.last_used_at is None else f"last used {_ago(now - use.last_used_at)}"
    return f"{last}, {use.uses_24h} use{'' if use.uses_24h == 1 else 's'} in 24 h"


def _ago(span: timedelta) -> str:
    return "just now" if span < timedelta(seconds=10) else f"{_span(span)} ago"


def _span(span: timedelta) -> str:
    seconds = max(int(span.total_seconds()), 0)
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), _UNITS[-1])
    count = seconds // size
    return f"{count} {unit}{'' if count == 1 else 's'}"
