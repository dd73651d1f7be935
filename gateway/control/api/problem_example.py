"""How operations are refused: for every status of every operation an example of what it is answered with.

What an operation refuses by itself stands under its id; what the frame around all of them refuses, under its status.
"""

from __future__ import annotations

from typing import Any

from gateway.core.problem import title

Told = tuple[str, tuple[tuple[str, str], ...]]
"""The detail, and the faults of the input as (path, reason)."""

_NO_SERVICE: Told = ("There is no service named diabetes.", ())
_NO_CALLER: Told = ("diabetes has no caller named acme.", ())
_NO_KEYS: Told = ("diabetes has no keys because auth_enabled is false: it opens to tokens only.", ())
_IN_FILE: Told = ("diabetes is declared in gateway.yaml, line 12: change it there.", ())
_CHANGED: Told = ("The service is not the one that If-Match names: read it again, somebody changed it.", ())
_OVER: Told = ("expires_at is over already.", (("expires_at", "is over already"),))

FRAME: dict[int, Told] = {
    400: (
        "Idempotency-Key has 0 characters; 1 to 255 are possible.",
        (("Idempotency-Key", "has 0 characters; 1 to 255 are possible"),),
    ),
    401: ("No credential. Send Authorization: Bearer <admin token>.", ()),
    403: ("This takes the role owner; alice is reader there.", ()),
    404: _NO_SERVICE,
    409: ("Somebody else changed it at the same moment: read it again and repeat.", ()),
    413: ("The body is larger than 1 MiB (1,048,576 bytes).", ()),
    415: ("The body is declared as text/plain; send JSON with Content-Type: application/json.", ()),
    422: ("This Idempotency-Key was used for another request: take a new key for each change.", ()),
    429: ("Too many credentials from your address were wrong, and this one was, too: This is not the admin token.", ()),
    500: ("The gateway failed; its log tells more under this request_id.", ()),
    503: ("The gateway has just started and not all workers are connected yet: try again in a few seconds.", ()),
}
"""Of any operation that has no example of its own for the status."""

OWN: dict[tuple[str, int], Told] = {
    ("list_services", 400): (
        "limit should be a number from 1 to 1000.",
        (("limit", "should be a number from 1 to 1000"),),
    ),
    ("put_service", 400): (
        "The body does not fit: cors.allowed_origin: is no known field.",
        (("cors.allowed_origin", "is no known field"),),
    ),
    ("put_service", 409): _IN_FILE,
    ("put_service", 412): _CHANGED,
    ("patch_service", 400): (
        "The body does not fit: max_queue_length: should be greater than or equal to 0.",
        (("max_queue_length", "should be greater than or equal to 0"),),
    ),
    ("patch_service", 409): _IN_FILE,
    ("patch_service", 412): _CHANGED,
    ("delete_service", 409): ("diabetes is declared in gateway.yaml, line 12: remove it there.", ()),
    ("delete_service", 412): _CHANGED,
    ("get_keys", 409): _NO_KEYS,
    ("get_key", 409): _NO_KEYS,
    ("patch_key", 400): (
        "expires_at is over already: to end a key at once, regenerate it.",
        (("expires_at", "is over already: to end a key at once, regenerate it"),),
    ),
    ("patch_key", 409): _NO_KEYS,
    ("regenerate_key", 400): (
        "The value is the key of the other slot: both would end with the next rotation.",
        (("value", "is the key of the other slot: both would end with the next rotation"),),
    ),
    ("regenerate_key", 409): (
        "The keys of diabetes are given by `keys:` in gateway.yaml, line 12: change the value there.",
        (),
    ),
    ("list_callers", 400): (
        "tag is no parameter here; there are after, limit, name.",
        (("tag", "is no parameter here"),),
    ),
    ("create_caller", 400): (
        "The body does not fit: verbs.0: should be 'score', 'batch' or 'swagger'.",
        (("verbs.0", "should be 'score', 'batch' or 'swagger'"),),
    ),
    ("create_caller", 409): (
        "diabetes has a caller of this name already: revoke it first, or take another name.",
        (("name", "diabetes has a caller of this name already"),),
    ),
    ("get_caller", 404): _NO_CALLER,
    ("patch_caller", 400): _OVER,
    ("patch_caller", 404): _NO_CALLER,
    ("regenerate_caller_key", 400): (
        "The body does not fit: grace_seconds: should be greater than or equal to 0.",
        (("grace_seconds", "should be greater than or equal to 0"),),
    ),
    ("regenerate_caller_key", 404): _NO_CALLER,
    ("regenerate_caller_key", 409): ("acme expired at 2026-11-01 00:00 UTC: give it another expires_at first.", ()),
    ("revoke_caller", 404): _NO_CALLER,
    ("issue_token", 400): (
        "lifetime_seconds is beyond tokens.lifetime_seconds of this gateway, 86400.",
        (("lifetime_seconds", "is beyond tokens.lifetime_seconds of this gateway, 86400"),),
    ),
    ("issue_token", 409): ("No token opens diabetes: its token_auth_enabled is false.", ()),
    ("revoke_tokens", 400): (
        "subject stands beside jti: one token is revoked by its id, those of a subject by its name.",
        (("subject", "stands beside jti: one token is revoked by its id, those of a subject by its name"),),
    ),
    ("rotate_signing_keys", 400): (
        "The body does not fit: revoke: should be a valid boolean.",
        (("revoke", "should be a valid boolean"),),
    ),
    ("rewrap_keys", 409): (
        "Data key d_1f2e3d4c needs the master key 0123456789abcdef, which no configured file holds: add its file …",
        (),
    ),
    ("list_audit", 400): (
        "after should be a number from 0 to 9223372036854775807.",
        (("after", "should be a number"),),
    ),
}


def problem(status: int, told: Told) -> dict[str, Any]:
    """The document of a refusal."""
    detail, faults = told
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": title(status),
        "status": status,
        "detail": detail,
        "request_id": "0af7651916cd43dd8448eb211c80319c",
    }
    if faults:
        document["errors"] = [{"path": path, "reason": reason} for path, reason in faults]
    return document
