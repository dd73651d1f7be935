"""YAML text → PyYAML's node graph: which loader, which scalars, and what is said about text that is no YAML.

Rule: scalars follow YAML 1.2 (`no`, `on`, `1:30` and `2026-01-01` are texts), so that nothing is read as something its
writer did not see; no message quotes the text, since a line may hold a key.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import yaml
from yaml.composer import Composer

from gateway.config.error import ConfigError, ConfigErrors

MAX_DEPTH = 64

TAG = "tag:yaml.org,2002:"
_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]{1,1000}")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)

SCALARS: dict[str, Callable[[str], Any]] = {
    TAG + "null": lambda _: None,
    TAG + "bool": lambda text: text[0] in "tT",
    TAG + "int": int,
    TAG + "float": lambda text: float(re.sub(r"\.(?=[a-z])", "", text.lower())),
    TAG + "str": str,
}


_Libyaml = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _BoundedComposer(Composer):
    """PyYAML's composer with a floor: libyaml's own recurses in C and takes the process with it."""

    def __init__(self) -> None:
        Composer.__init__(self)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[attr-defined]
            raise yaml.MarkedYAMLError(problem=f"nested more than {MAX_DEPTH} deep", problem_mark=mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


class _ExplainingLoader(_BoundedComposer, yaml.SafeLoader):
    """Slow, with the better messages: asked only about a text that the fast loader refuses."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own form

    def __init__(self, text: str) -> None:
        _BoundedComposer.__init__(self)
        yaml.SafeLoader.__init__(self, text)


class _FastLoader(_BoundedComposer, _Libyaml):  # type: ignore[misc, valid-type]
    """libyaml where PyYAML was built with it: ten times faster, which 10,000 services feel."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own form

    def __init__(self, text: str) -> None:
        _BoundedComposer.__init__(self)
        _Libyaml.__init__(self, text)


for _loader in (_ExplainingLoader, _FastLoader):
    _loader.add_implicit_resolver(TAG + "null", re.compile(f"^(?:{_NULL.pattern})$"), ["~", "n", "N", ""])
    _loader.add_implicit_resolver(TAG + "bool", re.compile(f"^(?:{_BOOL.pattern})$"), list("tTfF"))
    _loader.add_implicit_resolver(TAG + "int", re.compile(f"^(?:{_INT.pattern})$"), list("-+0123456789"))
    _loader.add_implicit_resolver(TAG + "float", re.compile(f"^(?:{_FLOAT.pattern})$"), list("-+.0123456789"))
    _loader.add_implicit_resolver(TAG + "merge", re.compile(r"^<<$"), ["<"])


def compose(text: str, file: str) -> yaml.Node | None:
    """The node graph of the text, None when it is empty. Raises ConfigErrors that name the line."""
    try:
        return yaml.compose(text, Loader=_FastLoader)
    except yaml.YAMLError as error:
        raise ConfigErrors([_explain(text, file, error)]) from None


def _explain(text: str, file: str, error: yaml.YAMLError) -> ConfigError:
    try:
        yaml.compose(text, Loader=_ExplainingLoader)
    except yaml.YAMLError as better:
        error = better
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return ConfigError(
            file, line, "", f"holds the character U+{error.character:04X}, which YAML forbids; remove it"
        )
    if isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark or error.context_mark):
        # The snippet of PyYAML's own text is left out: the line may hold a key.
        return ConfigError(file, mark.line + 1, "", f"not valid YAML at column {mark.column + 1}: {_problem(error)}")
    return ConfigError(file, None, "", "not valid YAML")


def _problem(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "cannot be read"
    if "'\\t'" in problem:
        return "a tab; indent with spaces"
    if "mapping values are not allowed" in problem:
        return "a second ': ' in a value, or wrong indentation; quote the value, or indent the key as its neighbours"
    if "<stream end>" in problem or "end of stream" in problem:
        return f"the file ends within a value; close the bracket or quote that is open{_since(error)}"
    if "could not find expected ':'" in problem:
        return "a line without ': '; write key: value, with a space after the colon"
    return f"{problem} ({error.context}{_since(error)})" if error.context else problem


def _since(error: yaml.MarkedYAMLError) -> str:
    return f" since line {error.context_mark.line + 1}" if error.context_mark else ""


def is_utf8(text: str) -> bool:
    """Whether the text can be written as UTF-8: lone surrogates, from an escape or a broken variable, cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def parse_scalar(text: str) -> Any:
    """One value as YAML would read it (`5`, `null`, `"quoted"`); what is no scalar stays the text it is."""
    try:
        node = yaml.compose(text, Loader=_FastLoader)
    except yaml.YAMLError:
        return text
    if not isinstance(node, yaml.ScalarNode):
        return text if text.strip() else None
    convert = SCALARS.get(node.tag)
    return convert(node.value) if convert else text
