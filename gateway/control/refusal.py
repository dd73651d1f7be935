"""What the control process says no to: a request of an operator (`Refused`), or its own start (`StartError`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with the input: where (a path such as `cors.allowed_origins.0`; empty: all of it), and why."""

    path: str
    reason: str


class Refused(Exception):  # noqa: N818 - a refusal is an answer for the caller, not an error of ours
    """A request that is answered with a problem document. `detail` says what is wrong and what to do."""

    def __init__(self, status: int, detail: str, faults: tuple[Fault, ...] = (), **headers: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.faults = faults
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class StartError(Exception):
    """The control process cannot start until somebody mends what the text names. Never holds a secret."""
