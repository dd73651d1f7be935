"""The operations of the native admin API as requests, and the dialogues that need more than one of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from gateway.client.address import Address
from gateway.client.error import ClientError, DeploymentTimeoutError
from gateway.client.message import Dialogue, Pause, Request, ask, parsed

Tags = Mapping[str, str] | Iterable[str | tuple[str, str] | list[str]]

DEPLOYMENT_TIMEOUT_SECONDS = 300.0
PAGE = 100
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 5.0


def list_services(address: Address, *, name: str | None = None, tags: Tags | None = None, after: str = "") -> Request:
    """GET one page of services. `tags`: all of them must be there; a bare name stands for any value."""
    query = [("limit", str(PAGE))]
    query += [("after", after)] if after else []
    query += [("name", name)] if name else []
    query += [("tag", tag) for tag in tag_filters(tags)]
    return address.request("GET", "/services", query=query)


def get_service(address: Address, name: str) -> Request:
    """GET a service."""
    return address.request("GET", _service(name))


def put_service(address: Address, name: str, block: Mapping[str, Any]) -> Request:
    """PUT a service: `block` as under `services.<name>` in gateway.yaml."""
    return address.request("PUT", _service(name), document=dict(block))


def patch_service(address: Address, name: str, patch: Mapping[str, Any]) -> Request:
    """PATCH a service by JSON merge patch (RFC 7396): None takes a key back to its default."""
    media_type = "application/merge-patch+json"
    return address.request("PATCH", _service(name), document=dict(patch), content_type=media_type)


def delete_service(address: Address, name: str) -> Request:
    """DELETE a service with its keys."""
    return address.request("DELETE", _service(name))


def get_status(address: Address, name: str) -> Request:
    """GET the live state of a service and its backends."""
    return address.request("GET", f"{_service(name)}/status")


def tag_filters(tags: Tags | None) -> list[str]:
    """`key=value` or `key` for each tag asked for."""
    if tags is None:
        return []
    if isinstance(tags, Mapping):
        return [f"{key}={value}" for key, value in tags.items()]
    if isinstance(tags, str):
        raise ClientError("tags is a list of names or [name, value] pairs, or a mapping: not one text.")
    return [tag if isinstance(tag, str) else "=".join(tag) for tag in tags]


def call(request: Request) -> Dialogue[Any]:
    """One operation: its JSON answer. Raises RefusedError and its kinds."""
    answer = yield from ask(request)
    return parsed(request, answer)


def every_service(address: Address, *, name: str | None = None, tags: Tags | None = None) -> Dialogue[list[Any]]:
    """All services that match, page after page."""
    tags = None if tags is None else tag_filters(tags)
    return (yield from every_page(lambda after: list_services(address, name=name, tags=tags, after=after)))


def every_page(of: Callable[[str], Request]) -> Dialogue[list[Any]]:
    """What all pages of a list hold. `of`: the request for what comes after a name."""
    items: list[Any] = []
    after = ""
    while True:
        page = yield from call(of(after))
        items += page["value"]
        if not page.get("next"):
            return items
        after = _page_after(page["next"], after)


def until_healthy(
    address: Address,
    name: str,
    *,
    timeout_seconds: float,
    show: Callable[[str], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Dialogue[dict[str, Any]]:
    """The status, once the service is healthy. `show` gets a line for each change. Raises DeploymentTimeoutError."""
    deadline = clock() + timeout_seconds
    pause, shown = FIRST_PAUSE_SECONDS, ""
    while True:
        status: dict[str, Any] = yield from call(get_status(address, name))
        if show and status["state"] != shown:
            shown = status["state"]
            show(f"{name}: {shown}")
        if status["state"] == "Healthy":
            return status
        left = deadline - clock()
        if left <= 0:
            raise DeploymentTimeoutError(name, timeout_seconds, status)
        yield Pause(min(pause, left))
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def status_text(name: str, status: Mapping[str, Any]) -> str:
    """The status as lines for people: the service, then each backend."""
    queue = (status.get("queue") or {}).get("length", 0)
    lines = [f"service {name}: {status.get('state')}, {queue} waiting"]
    for deployment, live in (status.get("deployments") or {}).items():
        lines.append(f"deployment {deployment}: {live.get('traffic')} % of the traffic")
        lines += [
            f"backend {backend.get('url')}{_at(backend.get('address'))}: {backend.get('state')} "
            f"since {backend.get('since')}, {backend.get('outstanding')} outstanding"
            for backend in live.get("backends") or ()
        ]
    return "\n".join(lines) + "\n"


def _at(address: str | None) -> str:
    return f" at {address}" if address else ""


def _page_after(url: str, before: str) -> str:
    """Where the next page begins. Of the URL only that is used: a credential goes to the address we were given."""
    after = dict(parse_qsl(urlsplit(url).query)).get("after", "")
    if after <= before:
        raise ClientError("The gateway names a next page that is none: its list has no end.")
    return after


def _service(name: str) -> str:
    return f"/services/{quote(name, safe='')}"
