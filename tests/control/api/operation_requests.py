"""For each operation of the admin API a request that does something: path, body. A new operation gets its line here."""

from __future__ import annotations

from typing import Any

from gateway.control.api.operation import BASE, Operation
from gateway.control.api.operations import OPERATIONS

BLOCK = {"backends": ["http://127.0.0.1:5001"], "health": None, "token_auth_enabled": True}
BODIES: dict[str, Any] = {
    "put_service": BLOCK,
    "patch_service": {"description": "changed"},
    "regenerate_key": {},
    "patch_key": {"expires_at": None},
    "create_caller": {"name": "bank-b"},
    "patch_caller": {"verbs": ["score"]},
    "regenerate_caller_key": {},
    "issue_token": {},
    "revoke_tokens": {},
    "rotate_signing_keys": {},
}
NAMES = {"name": "diabetes", "slot": "primary", "caller": "bank-a"}


def path(operation: Operation, service: str = "diabetes") -> str:
    return BASE + operation.path.format(**{**NAMES, "name": service})


async def make_services(api: Any, *names: str) -> None:
    """Services with both doors and a named caller each, where there are none."""
    for name in names:
        if name not in api.rig.catalog.services:
            assert (await api("PUT", f"/services/{name}", BLOCK)).status == 201
        if NAMES["caller"] not in api.rig.catalog.services[name].callers:
            assert (await api("POST", f"/services/{name}/callers", {"name": NAMES["caller"]})).status == 201
        if "bank-b" in api.rig.catalog.services[name].callers:
            assert (await api("DELETE", f"/services/{name}/callers/bank-b")).status == 204


CLOSED = [operation for operation in OPERATIONS if operation.role is not None]
