"""Lists of names in pages: `limit` and `after` of a request, and where the next page is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aiohttp import web
from yarl import URL

from gateway.control.api.operations import BY_ID
from gateway.control.api.query import limit, require_known


@dataclass(frozen=True, slots=True)
class Page:
    """At most `limit` names, those that come after `after`. `url`: what was asked."""

    limit: int
    after: str
    url: URL

    @classmethod
    def of(cls, request: web.Request, operation: str) -> Page:
        """The page that is asked for. Raises Refused (400) for parameters that are unknown or do not fit."""
        require_known(request, BY_ID[operation])
        return cls(limit(request), request.query.get("after", ""), request.url)

    def cut(self, names: Iterable[str]) -> tuple[list[str], dict[str, str]]:
        """The names on this page, in order; and where there is a next one, its URL as `next`."""
        rest = sorted(name for name in names if name > self.after)
        page = rest[: self.limit]
        return page, {"next": str(self.url.update_query(after=page[-1]))} if len(rest) > self.limit else {}
