"""What an entry script may return instead of data: a status and a body of its own choosing.

The name and the arguments are those of the Azure ML model server's class, so that one script runs under both servers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class AMLResponse:
    """`message` is sent as JSON with `json_str`, else as it is (str or bytes)."""

    message: Any
    status_code: int
    response_headers: Mapping[str, str] = field(default_factory=dict)
    json_str: bool = False
