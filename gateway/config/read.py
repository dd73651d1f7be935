"""From file, environment and command line to `Loaded`: the order of the steps, and what comes out.

Rule: all mistakes are collected and raised together; a step that needs what failed before it is left out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pydantic

from gateway.config.agreement import disagreements, key_errors, literal_keys, open_doors
from gateway.config.complete import complete
from gateway.config.document import Document, read_document
from gateway.config.environment import apply_overrides, resolve_references
from gateway.config.error import ConfigError, ConfigErrors, Place
from gateway.config.later import without_effect
from gateway.config.reason import explain
from gateway.config.stamp import Stamp, stamp
from gateway.core.settings import Settings

COMMAND_LINE = "command line"
DEFAULT_NAME = "model"

_SETTINGS = pydantic.TypeAdapter(Settings)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that is valid as a whole.

    `settings`: absolute paths, defaults filled in; holds secrets, so it is left out of `repr`. `places`: service name →
    where the file declares it. `path`: the file, None without one. `warnings`: sentences for the person who starts it.
    `files`: each file that was read, as it was just before.
    """

    settings: Settings = field(repr=False)
    places: dict[str, Place]
    path: Path | None
    warnings: tuple[str, ...]
    files: dict[Path, Stamp] = field(default_factory=dict)


def load(path: Path | None, environ: Mapping[str, str]) -> Loaded:
    """Read a file under the overrides of `environ`; path None: defaults and `environ` alone. Raises ConfigErrors."""
    if path is None:
        return _load(Document(COMMAND_LINE, {"data_dir": "var"}), environ, Path.cwd(), None)
    file = Path(os.path.abspath(path))  # noqa: PTH100 - a ConfigMap's link stays a link
    files = {file: stamp(file)}
    try:
        document = read_document(path)
        document.files = files
        return _load(document, environ, file.parent, path)
    except ConfigErrors as errors:
        errors.files = files
        raise


def serve_backend(url: str, name: str | None, environ: Mapping[str, str]) -> Loaded:
    """What `scoregate serve --backend URL` serves: one service, key and token on, 127.0.0.1 only, data in ./var.

    Raises ConfigErrors that name the option.
    """
    name = DEFAULT_NAME if name is None else name
    service = {"backends": [url], "auth_enabled": True, "token_auth_enabled": True}
    document = Document(
        COMMAND_LINE,
        {"data_dir": "var", "scoring": {"listen": "127.0.0.1:8443"}, "services": {name: service}},
    )
    document.variables["services", name] = (Place(COMMAND_LINE), "--name")
    document.variables["services", name, "backends"] = (Place(COMMAND_LINE), "--backend")
    return _load(document, environ, Path.cwd(), None)


def _load(document: Document, environ: Mapping[str, str], folder: Path, path: Path | None) -> Loaded:
    errors = [*document.errors, *apply_overrides(document, environ)]
    errors += resolve_references(document, environ, folder)
    errors += key_errors(document)
    settings = _validate(document, errors)
    if settings is not None:
        errors += disagreements(document, settings)
    if errors or settings is None:
        raise ConfigErrors(_first_of_each_key(errors))
    return Loaded(
        settings=complete(settings, folder),
        places={name: document.place(("services", name)) for name in settings.services},
        path=path,
        warnings=tuple(_warnings(document, settings)),
        files=document.files,
    )


def _validate(document: Document, errors: list[ConfigError]) -> Settings | None:
    try:
        return _SETTINGS.validate_json(json.dumps(document.data))
    except pydantic.ValidationError as error:
        errors += explain(document, error.errors())
        return None


def _first_of_each_key(errors: Iterable[ConfigError]) -> list[ConfigError]:
    kept: dict[tuple[str, int | None, str], ConfigError] = {}
    for error in errors:
        kept.setdefault((error.file, error.line, error.key), error)
    return list(kept.values())


def _warnings(document: Document, settings: Settings) -> Iterator[str]:
    yield from open_doors(document, settings)
    yield from literal_keys(document)
    yield from without_effect(document, settings)
