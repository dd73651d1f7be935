"""The audit log: one page of it, and all of it page after page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.client.address import Address
from gateway.client.error import ClientError
from gateway.client.message import Dialogue, Request
from gateway.client.operation import call

EXPORT_PAGE = 1000
Entry = Mapping[str, Any]
Filters = Mapping[str, str | None]
"""`actor`, `service`, `action`: only what each of them says; None: whoever or whatever."""


def list_audit(
    address: Address, *, filters: Filters, after: int = 0, limit: int | None = None, newest: int | None = None
) -> Request:
    """GET entries after an id, oldest first, at most `limit`; or the `newest` so many, still oldest first."""
    given = {"limit": limit, "newest": newest, **filters}
    query = [("after", str(after))] if after else []
    query += [(name, str(value)) for name, value in given.items() if value is not None]
    return address.request("GET", "/audit", query=query)


def every_entry(
    address: Address, take: Callable[[Sequence[Entry]], None], *, filters: Filters, after: int = 0
) -> Dialogue[int]:
    """Give `take` all entries after an id, page by page; returns the id of the last (`after` if there was none)."""
    while True:
        page = yield from call(list_audit(address, after=after, limit=EXPORT_PAGE, filters=filters))
        entries = page["value"]
        last = entries[-1]["id"] if entries else after
        take(entries)
        if not page.get("next"):
            return int(last)
        if last <= after:
            raise ClientError("The gateway names a next page that is none: its audit log has no end.")
        after = last
