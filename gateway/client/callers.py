"""Named callers of a service: the operations on them as requests. One caller has one key of its own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from gateway.client.address import Address
from gateway.client.error import ClientError
from gateway.client.message import Dialogue, Request
from gateway.client.operation import PAGE, every_page

Documents = list[dict[str, Any]]
MERGE_PATCH = "application/merge-patch+json"


def list_callers(address: Address, service: str, *, name: str | None = None, after: str = "") -> Request:
    """GET one page of callers by name, without their keys. `name`: only those whose name contains it."""
    query = [("limit", str(PAGE))]
    query += [("after", after)] if after else []
    query += [("name", name)] if name else []
    return address.request("GET", _callers(service), query=query)


def get_caller(address: Address, service: str, name: str) -> Request:
    """GET a caller, with its key unless the gateway shows keys once only."""
    return address.request("GET", _caller(service, name))


def create_caller(address: Address, service: str, name: str, block: Mapping[str, Any]) -> Request:
    """POST a new caller. `block`: `verbs`, `expires_at`, `rate_limits`, each as it was given or left out."""
    return address.request("POST", _callers(service), document={"name": name, **_written(block)})


def patch_caller(address: Address, service: str, name: str, patch: Mapping[str, Any]) -> Request:
    """PATCH what a caller may do: None takes a field back to its default."""
    return address.request("PATCH", _caller(service, name), document=_written(patch), content_type=MERGE_PATCH)


def regenerate_caller_key(address: Address, service: str, name: str, *, grace_seconds: int | None = None) -> Request:
    """POST for a new key; the one before opens for so long (None: as the service is configured)."""
    document = {} if grace_seconds is None else {"grace_seconds": grace_seconds}
    return address.request("POST", f"{_caller(service, name)}/regenerate", document=document)


def revoke_caller(address: Address, service: str, name: str) -> Request:
    """DELETE a caller with its key."""
    return address.request("DELETE", _caller(service, name))


def every_caller(address: Address, service: str, *, name: str | None = None) -> Dialogue[Documents]:
    """All callers that match, page after page."""
    return (yield from every_page(lambda after: list_callers(address, service, name=name, after=after)))


def _written(block: Mapping[str, Any]) -> dict[str, Any]:
    """Times as the API takes them. Raises ClientError for one without a time zone."""
    written = dict(block)
    expires_at = written.get("expires_at")
    if isinstance(expires_at, datetime):
        if expires_at.tzinfo is None:
            raise ClientError("expires_at has no time zone: write datetime(…, tzinfo=UTC).")
        written["expires_at"] = expires_at.isoformat()
    return written


def _callers(service: str) -> str:
    return f"/services/{quote(service, safe='')}/callers"


def _caller(service: str, name: str) -> str:
    return f"{_callers(service)}/{quote(name, safe='')}"
