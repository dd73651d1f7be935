"""Values from outside the file: `SCOREGATE__…` variables set keys, `env:NAME` and `file:PATH` stand for secrets.

Rule: a value from `env:` or `file:` is marked secret in the document at once, so that no error can show it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pydantic

from gateway.config.document import Document
from gateway.config.error import ConfigError, KeyPath, Place, dotted
from gateway.config.shape import known_keys, nearest, scalars
from gateway.config.stamp import Stamp, stamp
from gateway.config.syntax import is_utf8, parse_scalar

PREFIX = "SCOREGATE__"
ENVIRONMENT = "environment"
MAX_SECRET_BYTES = 64 * 1024

_REFERENCE = re.compile(r"(env|file):(.*)", re.DOTALL)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LITERAL = frozenset({"description", "tags", "example", "schema"})
"""Keys of a service whose texts are taken as they stand, whatever they begin with."""


def apply_overrides(document: Document, environ: Mapping[str, str]) -> list[ConfigError]:
    """Set each `SCOREGATE__SECTION__KEY` in the document; what could not be set comes back as errors."""
    known = {variable(path): (path, annotation) for path, annotation in scalars()}
    errors = []
    for name in sorted(n for n in environ if n.startswith(PREFIX)):
        if name not in known:
            errors.append(ConfigError(ENVIRONMENT, None, name, _why_unknown(name, list(known))))
            continue
        if not is_utf8(environ[name]):
            errors.append(ConfigError(ENVIRONMENT, None, name, "is not UTF-8"))
            continue
        path, annotation = known[name]
        if reason := _set(document, path, _fitting(environ[name], annotation), name):
            errors.append(ConfigError(ENVIRONMENT, None, name, reason))
    return errors


def resolve_references(document: Document, environ: Mapping[str, str], folder: Path) -> list[ConfigError]:
    """Replace `env:NAME` and `file:PATH` (relative to `folder`) by their values; errors name variable or file."""
    errors: list[ConfigError] = []
    for block, path, match in _references(document.data, ()):
        if match[1] == "env":
            found, reason = _from_variable(match[2], environ)
        else:
            found, reason = _from_file(match[2], folder, document.files)
        block[path[-1]] = found
        document.secret.add(path)
        if reason:
            errors.append(document.error(path, reason))
    return errors


def variable(path: tuple[str, ...]) -> str:
    """The variable that sets a key: `scoring.listen` → `SCOREGATE__SCORING__LISTEN`."""
    return PREFIX + "__".join(path).upper()


def _why_unknown(name: str, known: list[str]) -> str:
    path = tuple(name.removeprefix(PREFIX).lower().split("__"))
    if path[0] == "services":
        return "services are set in the file only; for their keys write env:NAME there"
    if name.upper() not in known and path[-1] in known_keys(path[:-1]):
        return f"{dotted(path)} is a list or a block; set it in the file"
    close = nearest(name.upper().removeprefix(PREFIX), [one.removeprefix(PREFIX) for one in known])
    advice = f"did you mean {PREFIX}{close}?" if close else "scoregate config schema lists the keys"
    return f"unknown variable; {advice}"


def _fitting(text: str, annotation: Any) -> Any:
    # A variable cannot be quoted as YAML can: minimum_version=1.2 must be the text, max_connections=5 the number.
    value = parse_scalar(text)
    adapter = pydantic.TypeAdapter(annotation)
    for candidate in (value, text):
        try:
            adapter.validate_json(json.dumps(candidate), strict=True)
        except pydantic.ValidationError:
            continue
        return candidate
    return value


def _set(document: Document, path: tuple[str, ...], value: Any, name: str) -> str | None:
    block = document.data
    for depth, part in enumerate(path[:-1], start=1):
        inner = block.setdefault(part, {})
        if not isinstance(inner, dict):
            return f"{document.place(path[:depth])} gives {dotted(path[:depth])} no block of keys to set this in"
        block = inner
    block[path[-1]] = value
    document.variables[path] = (Place(ENVIRONMENT), name)
    return None


def _references(node: Any, path: KeyPath) -> Iterator[tuple[Any, KeyPath, re.Match[str]]]:
    """Each reference below a node: the block or list that holds it, its path, its match."""
    items = list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
    for key, value in items:
        here = (*path, key)
        if len(here) == 3 and here[0] == "services" and key in _LITERAL:
            continue
        if isinstance(value, str) and (match := _REFERENCE.fullmatch(value)):
            yield node, here, match
        else:
            yield from _references(value, here)


def _from_variable(name: str, environ: Mapping[str, str]) -> tuple[str, str | None]:
    if not _VARIABLE.fullmatch(name):
        return "", "env: takes the name of a variable, as env:DIABETES_PRIMARY_KEY"
    if name not in environ:
        return "", f"the environment variable {name} is not set"
    value = environ[name].rstrip("\r\n")
    if not is_utf8(value):
        return "", f"the environment variable {name} is not UTF-8"
    return value, None if value else f"the environment variable {name} is empty"


def _from_file(name: str, folder: Path, files: dict[Path, Stamp]) -> tuple[str, str | None]:
    path = Path(os.path.abspath(folder / name))  # noqa: PTH100 - resolve() would replace a Secret's stable link
    files[path] = stamp(path)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SECRET_BYTES + 1)
        value = content.decode().rstrip("\r\n")
    except OSError as error:
        return "", f"the file {path} cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        return "", f"the file {path} is not UTF-8"
    except ValueError:
        return "", "file: takes the name of a file, as file:secrets/primary.key"
    if len(content) > MAX_SECRET_BYTES:
        return "", f"the file {path} has more than {MAX_SECRET_BYTES} bytes; is it the right one?"
    return value, None if value else f"the file {path} is empty"
