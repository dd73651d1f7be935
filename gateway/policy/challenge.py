"""How a door stays shut: the refusal of a credential, with the challenge that RFC 6750 asks for."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.core.problem import Headers, Reply


def refuse(reason: str, detail: str, *, status: int = 401, error: str = "invalid_token") -> Reply:
    """The refusal of a credential. `error` is a code of RFC 6750 section 3.1; empty where there was no credential."""
    challenge = 'Bearer realm="scoregate"'
    if error:
        challenge += f', error="{error}", error_description="{detail.replace(chr(34), chr(39))}"'
    headers: Headers = ((b"www-authenticate", challenge.encode("ascii", "replace")),)
    return Reply(status, reason, detail, "authenticate", headers)


def refuse_ended(sentence: str, until: float) -> Reply:
    """The refusal of a key whose time is over. The time (Unix seconds) completes the sentence."""
    when = datetime.fromtimestamp(until, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return refuse("expired_key", f"{sentence} {when}.")
