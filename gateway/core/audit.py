"""The audit log as values: who did what, when, from where, with which result. Entries are added and never changed.

No field may hold a secret: keys and tokens are told by their public ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

MAX_TEXT = 300
"""Characters of a field at most: what is longer is cut by `AuditEntry.__post_init__`."""

DONE = "done"
GATEWAY = "gateway"
"""The actor of what the gateway does by itself: a signing key that rotates on its day, a start."""
CONFIGURATION = "configuration"
"""The actor of what the configuration file asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """`at`: timezone-aware. `address`: where the actor called from; empty for the gateway itself.

    `action` is the id of an operation of the admin API, or one of `start`, `reload`, `sign_in`. `target`: what of the
    service it was done to, by public names. `result`: `done`, or why not. `id` is given by the store and grows.
    """

    at: datetime
    actor: str
    action: str
    address: str = ""
    service: str = ""
    target: str = ""
    result: str = DONE
    id: int = 0

    def __post_init__(self) -> None:
        for name in ("actor", "action", "address", "service", "target", "result"):
            object.__setattr__(self, name, _plain(getattr(self, name)))


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditQuery:
    """Which entries are wanted: those after this id, oldest first, `limit` of them; None: whoever or whatever.

    `newest`: of all that fit the newest `limit`, still oldest first. Texts are compared in the form that entries have.
    """

    after: int = 0
    limit: int = 100
    actor: str | None = None
    service: str | None = None
    action: str | None = None
    newest: bool = False

    def __post_init__(self) -> None:
        for name in ("actor", "service", "action"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _plain(value))


def _plain(text: str) -> str:
    """One line that any terminal shows and PostgreSQL takes."""
    shown = "".join(character if character.isprintable() else "?" for character in text[: MAX_TEXT + 1])
    return shown if len(shown) <= MAX_TEXT else shown[: MAX_TEXT - 1] + "…"
