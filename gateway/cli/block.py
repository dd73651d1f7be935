"""A service block from the command line: a file, single keys, backends. Key values come by file only, never by argv."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.outcome import CommandError, usage

FileOption = Annotated[
    Path | None,
    typer.Option("--file", "-f", help="The service block as YAML or JSON, as under services.<name>; - for stdin."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="KEY=VALUE, dots lead inwards: --set health.path=/live. Values as in YAML. Repeatable."),
]
BackendOption = Annotated[
    list[str] | None, typer.Option("--backend", help="URL of a model container, host and port. Repeatable.")
]


def service_block(file: Path | None, settings: list[str] | None, backends: list[str] | None) -> dict[str, Any]:
    """The block asked for; single keys go over the file. Raises CommandError for nothing and for no YAML."""
    block = _parsed(read_text(file), str(file)) if file else {}
    for setting in settings or ():
        _put(block, setting)
    if backends:
        block["backends"] = backends
    if not block:
        raise usage("Nothing is given: use --backend, --set KEY=VALUE or --file.")
    return block


def read_text(file: Path) -> str:
    """The text of a file, or of stdin for `-`. Raises CommandError."""
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise CommandError(f"{file} is not UTF-8 text.") from None
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from None


def _parsed(text: str, file: str) -> dict[str, Any]:
    from gateway.config.document import parse_document
    from gateway.config.error import ConfigErrors

    try:
        return parse_document(text, file).data
    except ConfigErrors as errors:
        raise CommandError(str(errors)) from None


def _put(block: dict[str, Any], setting: str) -> None:
    path, equals, text = setting.partition("=")
    keys = path.split(".")
    if not equals or not all(keys):
        raise usage("--set wants KEY=VALUE, such as --set max_queue_length=100.")
    if keys[0] == "keys":
        raise usage("Key values are not given on the command line, where others see them: put them into --file.")
    for key in keys[:-1]:
        inner = block.setdefault(key, {})
        if not isinstance(inner, dict):
            raise usage(f"--set {path}: {key} has no keys of its own.")
        block = inner
    block[keys[-1]] = _value(text)


def _value(text: str) -> Any:
    try:
        return _parsed(f"value: {text}", "--set")["value"]
    except CommandError:
        return text
