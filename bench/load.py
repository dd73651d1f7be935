"""What can be done to a server for the length of a round."""

from __future__ import annotations

from abc import ABC, abstractmethod

from bench.machine import Cores
from bench.peers.peer import Running
from bench.request import Request

Figures = dict[str, float]
"""Name → value; `requests` among them is what CPU time is divided by."""


class Load(ABC):
    """A way to ask. `request` is sent; a look at its answer precedes the first round. `is_timed`: calm matters."""

    request: Request
    is_timed = True

    @abstractmethod
    def __call__(self, running: Running, cores: Cores, seconds: float) -> Figures:
        """Do it. Raises RuntimeError if the server answers otherwise than it should."""

    def close(self) -> None:  # noqa: B027 - most loads keep nothing
        """The scenario is over."""
