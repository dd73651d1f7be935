"""What the control process and the workers must be able to say to each other without a message: a protocol.

The shared-memory form is `proxy.scoreboard`; the supervisor makes it before it starts anyone.
"""

from __future__ import annotations

from typing import Protocol


class HealthBoard(Protocol):
    """The rows of backends as the control process sees them. A row stays with its backend until it is released."""

    def lend_row(self, owner: str) -> int:
        """The row of `owner` (service, deployment, URL and address in one text), healthy until probed otherwise.

        The same owner gets the same row again, also from a restarted control process: what workers have counted on it
        stays true. Raises RuntimeError when all rows are lent.
        """

    def release_row(self, row: int) -> None:
        """Give a row back once no worker serves its backend."""

    def set_healthy(self, row: int, healthy: bool) -> None:
        """What the last probes say."""

    def healthy(self, row: int) -> bool:
        """What the last probes said."""

    def outstanding(self, row: int) -> int:
        """Requests that all workers have at this backend now (a hint)."""

    def served(self, row: int) -> int:
        """How many good answers the backend gave so far, counted by all workers: a change stands for a good probe."""

    def standing(self, row: int) -> int:
        """What the workers think of this backend: IN, SUSPECT, EJECTED or TRIAL of `core.ejection`."""

    def since(self, row: int) -> float:
        """When they began to (monotonic seconds); 0.0: always."""

    def absolve(self, row: int) -> None:
        """A suspect has answered its probe."""

    @property
    def wakeup(self) -> int | None:
        """The descriptor that becomes readable when workers suspect a backend; None where there is none."""
