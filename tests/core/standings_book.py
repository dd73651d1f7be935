"""The `Standings` of one worker's backends in plain dictionaries."""

from __future__ import annotations

from collections import Counter

from gateway.core.ejection import IN


class Standings:
    """All is well until something is put. `is_locked`: another worker holds every lock, and does not let go."""

    def __init__(self):
        self.spans = {}
        self.failed = Counter()
        self.ejected = Counter()
        self.is_locked = False
        self.hurried = 0

    def standing(self, row):
        return self.spans.get(row, (IN,))[0]

    def since(self, row):
        return self.spans.get(row, (IN, 0.0))[1]

    def until(self, row):
        return self.spans.get(row, (IN, 0.0, 0.0))[2]

    def put(self, row, standing, since, until):
        self.spans[row] = standing, since, until

    def failures(self, row):
        return self.failed[row]

    def set_failures(self, row, count):
        self.failed[row] = count

    def ejections(self, row):
        return self.ejected[row]

    def set_ejections(self, row, count):
        self.ejected[row] = count

    def exclusively(self, _row, act):
        return not self.is_locked and act()

    def hurry_probe(self):
        self.hurried += 1
