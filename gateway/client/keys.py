"""The operations on keys as requests, and what more than one of them tells together."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

from gateway.client.address import Address
from gateway.client.error import ClientError, NotAllowedError
from gateway.client.message import Dialogue, Request
from gateway.client.operation import call

Slot = Literal["primary", "secondary"]
SLOTS: tuple[Slot, Slot] = ("primary", "secondary")


def get_keys(address: Address, name: str) -> Request:
    """GET both keys and how they are used."""
    return address.request("GET", _keys(name))


def get_key(address: Address, name: str, slot: Slot) -> Request:
    """GET how a key is used, without the key."""
    return address.request("GET", f"{_keys(name)}/{slot}")


def patch_key(address: Address, name: str, slot: Slot, *, expires_at: datetime | str | None) -> Request:
    """PATCH the end of a key; None: it has none."""
    document = {"expires_at": _moment(expires_at)}
    media_type = "application/merge-patch+json"
    return address.request("PATCH", f"{_keys(name)}/{slot}", document=document, content_type=media_type)


def regenerate_key(
    address: Address,
    name: str,
    slot: Slot,
    *,
    value: str | None = None,
    grace_seconds: int | None = None,
    expires_at: datetime | str | None = None,
) -> Request:
    """POST a new key into a slot: random, or `value`. The key before opens for `grace_seconds` more."""
    given = {"value": value, "grace_seconds": grace_seconds, "expires_at": _moment(expires_at)}
    document = {key: item for key, item in given.items() if item is not None}
    return address.request("POST", f"{_keys(name)}/{slot}/regenerate", document=document)


def get_master_key(address: Address) -> Request:
    """GET the master key files and what each is needed for."""
    return address.request("GET", "/master-key")


def rewrap(address: Address) -> Request:
    """POST for all data keys to be wrapped by the newest master key."""
    return address.request("POST", "/master-key/rewrap")


def slots(address: Address, name: str) -> Dialogue[dict[str, Any]]:
    """How both keys are used, by slot, without the keys."""
    found: dict[str, Any] = {}
    for slot in SLOTS:
        found[slot] = yield from call(get_key(address, name, slot))
    return found


def shown(address: Address, name: str) -> Dialogue[Mapping[str, Any]]:
    """Both keys and how they are used; where the caller may not see them, keys of None."""
    try:
        answer: Mapping[str, Any] = yield from call(get_keys(address, name))
    except NotAllowedError as error:
        if error.status != 403:
            raise
        known = yield from slots(address, name)
        return {"primary_key": None, "secondary_key": None, "slots": known}
    return answer


def slot_named(key: str) -> Slot:
    """The slot a person means by `Primary` or `Secondary`, in any case. Raises ClientError."""
    match key.lower():
        case "primary":
            return "primary"
        case "secondary":
            return "secondary"
    raise ClientError("The key is named neither Primary nor Secondary: write one of the two.")


def _keys(name: str) -> str:
    return f"/services/{quote(name, safe='')}/keys"


def _moment(when: datetime | str | None) -> str | None:
    return when.isoformat() if isinstance(when, datetime) else when
