"""Keys that are read and checked but have no effect in this release: one table, one line a key.

Rule: who makes a key work deletes its line here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from gateway.config.document import Document
from gateway.config.error import KeyPath
from gateway.core.settings import Settings

LATER: dict[str, str] = {
    "store.max_staleness_seconds": "workers serve what they know for as long as the store is away",
    "store.shared_limits": "limits count within this gateway, not across replicas",
    "batch.storage": "there are no batch jobs yet",
    "batch.runners": "there are no batch jobs yet",
    "batch.rows_per_request": "there are no batch jobs yet",
    "batch.parallel_requests": "there are no batch jobs yet",
    "batch.keep_days": "there are no batch jobs yet",
    "services.*.deployments.*.mirror": "requests are not mirrored yet",
    "services.*.example": "no swagger document is made from it yet",
    "services.*.schema": "no swagger document is made from it yet",
    "services.*.classic": "the classic Studio form is not served yet",
}


def without_effect(document: Document, settings: Settings) -> Iterator[str]:
    """A warning for each key of the table that was set to something else than its default."""
    for pattern, sentence in LATER.items():
        for path in _changed(settings, tuple(pattern.split(".")), ()):
            yield str(document.error(path, f"has no effect in this release: {sentence}"))


def _changed(value: Any, pattern: KeyPath, path: KeyPath) -> Iterator[KeyPath]:
    head, rest = pattern[0], pattern[1:]
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _changed(inner, rest, (*path, name))
    elif is_dataclass(value):
        found = getattr(value, str(head))
        if rest:
            yield from _changed(found, rest, (*path, head))
        elif found != _default(value, str(head)):
            yield (*path, head)


def _default(block: Any, name: str) -> Any:
    item = next(item for item in fields(block) if item.name == name)
    return item.default if item.default_factory is MISSING else item.default_factory()
