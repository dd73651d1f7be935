"""How often each key was used: from plain counts to records by the hour, told to the control process until it has them.

Nothing here is on the path of a request. While the control process is away the records wait; one that a killed control
process had just stored is told again, so that a key may look used more often than it was, and never less.
"""

from __future__ import annotations

from gateway.core.message import Uses
from gateway.core.record import KeyUseRecord
from gateway.proxy.meters import Meters

MAX_RECORDS = 1000
"""Of one message: what the control process writes in one transaction, between which keys can change."""
MAX_WAITING = 100_000
"""Records of a key and an hour that wait at most; the oldest go first."""
HOUR_SECONDS = 3600


class KeyUses:
    """Of one worker, all services. One message at a time is under way."""

    __slots__ = ("_meters", "_serial", "_under_way", "_waiting")

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._waiting: dict[tuple[str, str, int], tuple[int, int]] = {}
        self._under_way: Uses | None = None
        self._serial = 0

    def note(self, wall: float) -> None:
        """Put what was counted since the last time down to this hour. `wall`: Unix seconds."""
        hour, now = int(wall) // HOUR_SECONDS, int(wall)
        for service, key_id, count in self._meters.take_uses():
            place = service, key_id, hour
            before, _ = self._waiting.get(place, (0, 0))
            self._waiting[place] = before + count, now
        while len(self._waiting) > MAX_WAITING:
            del self._waiting[next(iter(self._waiting))]

    def next(self) -> Uses | None:
        """The next message, if none is under way and there is something to tell."""
        if self._under_way is not None or not self._waiting:
            return None
        places = list(self._waiting)[:MAX_RECORDS]
        records = [KeyUseRecord(*place, *self._waiting.pop(place)) for place in places]
        self._serial += 1
        self._under_way = Uses(self._serial, records)
        return self._under_way

    def again(self) -> Uses | None:
        """What is under way and has to be sent once more, over another connection; else the next message."""
        return self._under_way or self.next()

    @property
    def is_told(self) -> bool:
        """Whether all that was put down is stored."""
        return self._under_way is None and not self._waiting

    def stored(self, serial: int) -> None:
        """The control process has stored the message."""
        if self._under_way is not None and self._under_way.serial == serial:
            self._under_way = None
