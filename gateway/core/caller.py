"""What was asked of a named caller: a customer of one service with a key, an expiry, verbs and limits of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BeforeValidator, Field

from gateway.core.spec import STRICT, RateLimitSpec
from gateway.core.verb import VERBS, Verb

CALLER_NAME_PATTERN = r"^[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?$"
CallerName = Annotated[str, Field(pattern=CALLER_NAME_PATTERN, min_length=1, max_length=64)]


_RFC_3339 = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[-+]\d{2}:\d{2})", re.ASCII | re.IGNORECASE)


def _in_utc(given: Any) -> Any:
    """A time written out. pydantic alone would take "1893456000" too, for Unix seconds."""
    if not isinstance(given, str):
        return given
    if _RFC_3339.fullmatch(given) is None:
        raise ValueError("should be a time like 2027-01-31T00:00:00Z (RFC 3339)")
    try:
        return datetime.fromisoformat(given.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("is no time of the years 1 to 9999") from None


Moment = Annotated[AwareDatetime, BeforeValidator(_in_utc)]
"""A time that names its zone, kept in UTC."""


@dataclass(frozen=True, slots=True)
class CallerLimitSpec(RateLimitSpec):
    """A rate limit of one caller, over all that it sends with whichever of its keys."""

    partition: Literal["credential"] = "credential"

    __pydantic_config__ = STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerSpec:
    """What a caller may do. `expires_at`: from then on its key opens nothing. `rate_limits` go over the service's."""

    verbs: Annotated[tuple[Verb, ...], Field(min_length=1)] = VERBS
    expires_at: Moment | None = None
    rate_limits: Annotated[tuple[CallerLimitSpec, ...], Field(max_length=16)] = ()

    __pydantic_config__ = STRICT

    def __post_init__(self) -> None:
        names = [limit.name for limit in self.rate_limits]
        if len(set(names)) != len(names):
            raise ValueError("two rate_limits have the same name; clients tell them apart by it")
