"""Answers on stdout: JSON or YAML exactly as the admin API gave them, or a table for people."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any


class Form(StrEnum):
    """How an answer is printed."""

    json = "json"
    yaml = "yaml"
    table = "table"


def print_answer(answer: Any, form: Form, table: Callable[[Any], str]) -> None:
    """Print `answer` in the form asked for; `table` makes the text for people."""
    if form is Form.json:
        print(json.dumps(answer, indent=2, ensure_ascii=False))
    elif form is Form.yaml:
        import yaml

        print(yaml.safe_dump(answer, sort_keys=False, allow_unicode=True), end="")
    else:
        print(table(answer))


def rows(items: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> str:
    """One line an item under a line of headings, the keys; nothing is cut, so that it can be copied."""
    lines = [[key.upper().replace("_", " ") for key in keys]]
    lines += [[cell(item.get(key)) for key in keys] for item in items]
    widths = [max(len(line[index]) for line in lines) for index in range(len(keys))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def fields(document: Mapping[str, Any]) -> str:
    """One line a field: its name and its value."""
    width = max(map(len, document), default=0)
    return "\n".join(f"{name.ljust(width)}  {cell(value)}".rstrip() for name, value in document.items())


def cell(value: Any) -> str:
    """A value as people read it on one line."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case dict() | list():
            return json.dumps(value, ensure_ascii=False) if value else "-"
    return "".join(character if character.isprintable() else "?" for character in str(value))
