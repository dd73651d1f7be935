"""pydantic's errors → ConfigErrors in plain sentences: what was expected, what was found, how to write it.

Rule: the key path is the one of the file (no tags of unions), one sentence a key, and no value that may be secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from pydantic_core import ErrorDetails

from gateway.config.document import Document
from gateway.config.error import ConfigError, KeyPath
from gateway.config.shape import known_keys, nearest
from gateway.core.spec import SERVICE_NAME_PATTERN

_URL_CREDENTIALS = re.compile(r"://.*@", re.DOTALL)
_BLOCK = "a block of keys"
_LIST = "a list"
_TEXT = "a text"

_PATTERNS = {
    SERVICE_NAME_PATTERN: "a name of lowercase letters, digits and inner hyphens that begins with a letter",
    r"^https?://[^/\s?#@]+$": "http:// or https://, host and port, without a path, such as https://models.example.com",
    r"^rediss?://": "redis:// or rediss://, host and port, such as redis://127.0.0.1:6379",
    r"^[0-9a-f]{32}$": "32 characters out of 0-9 and a-f",
    r"^[a-zA-Z0-9][-_.a-zA-Z0-9]*$": "a name of letters, digits, '-', '_' and '.' that begins with a letter or digit",
}

_EXPECTED: dict[str, Callable[[dict[str, Any]], str]] = {
    "string_type": lambda _: _TEXT,
    "path_type": lambda _: _TEXT,
    "int_type": lambda _: "a whole number",
    "float_type": lambda _: "a number",
    "bool_type": lambda _: "true or false",
    "dict_type": lambda _: _BLOCK,
    "dataclass_type": lambda _: _BLOCK,
    "tuple_type": lambda _: _LIST,
    "list_type": lambda _: _LIST,
    "literal_error": lambda c: str(c["expected"]),
    "greater_than_equal": lambda c: f"a number of at least {_number(c['ge'])}",
    "greater_than": lambda c: f"a number above {_number(c['gt'])}",
    "less_than_equal": lambda c: f"a number of at most {_number(c['le'])}",
    "string_too_short": lambda c: f"at least {_count(c['min_length'], 'character')}",
    "string_too_long": lambda c: f"at most {_count(c['max_length'], 'character')}",
    "too_short": lambda c: f"at least {_count(c['min_length'], 'entry')}",
    "string_pattern_mismatch": lambda c: _PATTERNS.get(c["pattern"], f"a text that matches {c['pattern']}"),
}


def explain(document: Document, details: Iterable[ErrorDetails]) -> list[ConfigError]:
    """One ConfigError for each key that pydantic refused."""
    grouped: dict[KeyPath, list[ErrorDetails]] = {}
    for detail in details:
        grouped.setdefault(path_in(document.data, detail["loc"], detail["type"]), []).append(detail)
    errors = []
    for path, group in grouped.items():
        # Of a union whose block was meant, only the block's own errors help.
        deeper = any(len(other) > len(path) and other[: len(path)] == path for other in grouped)
        telling = [d for d in group if d["type"] not in _EXPECTED]
        expecting = [] if telling or (deeper and isinstance(group[0]["input"], dict)) else group
        if telling:
            errors.append(document.error(path, _tell(document, path, telling[0])))
        elif expecting:
            errors.append(document.error(path, _expect(document, path, expecting)))
    return errors


def path_in(data: Any, loc: tuple[int | str, ...], kind: str = "") -> KeyPath:
    """Location as the data has it: without the tags pydantic adds for unions and mapping keys."""
    path: list[int | str] = []
    for index, part in enumerate(loc):
        last = index == len(loc) - 1
        if isinstance(data, dict) and part in data:
            data = data[str(part)]
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        elif not (last and kind.startswith("missing")):
            continue
        path.append(part)
    return tuple(path)


def is_secret(document: Document, path: KeyPath) -> bool:
    """Whether a value may be a secret: keys, stores with passwords, all that came from `env:` or `file:`."""
    if any(path[:length] in document.secret for length in range(1, len(path) + 1)):
        return True
    if path[:1] == ("services",):
        return "keys" in path[2:] or path[2:4] == ("request_headers", "set")
    return path in {("store", "url"), ("store", "shared_limits")}


def _tell(document: Document, path: KeyPath, detail: ErrorDetails) -> str:
    kind = detail["type"]
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        return _unknown(path)
    if kind.startswith("missing"):
        return "is missing, and has no default; give it here"
    reason = str(detail.get("ctx", {}).get("error", detail["msg"]))
    given = detail["input"]
    if is_secret(document, path) and isinstance(given, str) and detail["loc"][-1:] != ("[key]",):
        reason = reason.replace(repr(given), "the value")
        if given in reason:
            reason = "the value does not fit here"
    return _URL_CREDENTIALS.sub("://…@", reason)


def _unknown(path: KeyPath) -> str:
    known = known_keys(path[:-1])
    close = nearest(str(path[-1]).lower(), known)
    return f"unknown key; did you mean {close}?" if close else f"unknown key; known here: {', '.join(known)}"


def _expect(document: Document, path: KeyPath, group: list[ErrorDetails]) -> str:
    wanted = [_EXPECTED[detail["type"]](detail.get("ctx", {})) for detail in group]
    given = group[0]["input"]
    as_name = "as a name: " if group[0]["loc"][-1:] == ("[key]",) else ""
    hidden = is_secret(document, path) and not as_name
    if hidden and isinstance(given, str | int | float):
        kind = _TEXT if isinstance(given, str) else "a number"
        return f"expected {' or '.join(wanted)}, got {kind} that is not shown{_hint(path, wanted[-1], given)}"
    return f"{as_name}expected {' or '.join(wanted)}, got {_got(given)}{_hint(path, wanted[-1], given)}"


def _got(given: Any) -> str:
    if given is None:
        return "nothing"
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, int | float):
        return f"the number {given}"
    if isinstance(given, str):
        shown = _URL_CREDENTIALS.sub("://…@", given)
        return f"the text {shown if len(shown) <= 60 else shown[:57] + '…'!r}"
    if isinstance(given, list):
        return _LIST if given else "an empty list"
    return _BLOCK


def _hint(path: KeyPath, wanted: str, given: Any) -> str:
    if path[-1:] == ("listen",):
        return "; write address:port, such as 0.0.0.0:8443"
    if given is None and wanted == _BLOCK:
        return "; leave the key out, or write {}"
    if isinstance(given, bool | int | float) and (wanted == _TEXT or wanted.startswith("'")):
        return "; put it in quotes"
    if wanted == _LIST and isinstance(given, str):
        return "; put it in brackets: [ ]"
    if wanted == "true or false" and given in ("yes", "on", "no", "off"):
        return "; write true or false"
    if "number" in wanted and isinstance(given, str) and re.fullmatch(r"[-+]?\d+(\.\d+)?", given):
        return "; leave the quotes out"
    return ""


def _number(limit: float) -> str:
    return str(int(limit) if float(limit).is_integer() else limit)


def _count(number: int, noun: str) -> str:
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{number} {noun if number == 1 else plural}"
