"""What the settings' dataclasses say about a key path: its type and its neighbours.

Rule: nothing is listed by hand here; the dataclasses are the only truth.
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Annotated, Any, Union

from gateway.config.error import KeyPath
from gateway.core.settings import Settings


@cache
def hints(block: type) -> dict[str, Any]:
    """Field name → annotation, `Annotated` kept."""
    known = typing.get_type_hints(block, include_extras=True)
    return {item.name: known[item.name] for item in fields(block)}


def type_at(path: KeyPath) -> Any:
    """The annotation of the value at a path, or None when no such key is known."""
    found: Any = Settings
    for part in path:
        found = _step(found, part)
        if found is None:
            return None
    return found


def known_keys(path: KeyPath) -> list[str]:
    """The keys a block may have; empty when its keys are free (names) or nothing is known."""
    block = _block(type_at(path))
    return list(hints(block)) if block else []


def nearest(word: str, known: list[str]) -> str | None:
    """The known word a person most likely meant, or None."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return close[0] if close else None


def scalars(block: type = Settings, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each key outside `services` that may hold a single value (text, number, boolean, null), with its annotation."""
    for name, annotation in hints(block).items():
        here = (*path, name)
        if here == ("services",):
            continue
        if _holds_scalar(annotation):
            yield here, annotation
        if inner := _block(annotation):
            yield from scalars(inner, here)


def _step(annotation: Any, part: str | int) -> Any:
    for member in members(annotation):
        if isinstance(part, int) and typing.get_origin(member) in (tuple, list):
            return typing.get_args(member)[0]
        if isinstance(part, str) and typing.get_origin(member) is dict:
            return typing.get_args(member)[1]
    block = _block(annotation)
    return hints(block).get(str(part)) if block else None


def _block(annotation: Any) -> type | None:
    return next((m for m in members(annotation) if isinstance(m, type) and is_dataclass(m)), None)


def members(annotation: Any) -> list[Any]:
    """The alternatives of a union, bare of `Annotated`."""
    if typing.get_origin(annotation) is Annotated:
        return members(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (Union, types.UnionType):
        return [inner for member in typing.get_args(annotation) for inner in members(member)]
    return [annotation]


def _holds_scalar(annotation: Any) -> bool:
    return any(typing.get_origin(m) not in (tuple, list, dict) and not is_dataclass(m) for m in members(annotation))
