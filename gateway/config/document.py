"""YAML text → plain data (what JSON can say) and the place of every key in it.

Rule: whatever YAML allows and the gateway does not mean is refused here with its line: duplicate keys, tags, keys that
are no text, aliases that multiply.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gateway.config.error import ConfigError, ConfigErrors, KeyPath, Place, dotted
from gateway.config.stamp import Stamp
from gateway.config.syntax import MAX_DEPTH, SCALARS, TAG, compose, is_utf8

MAX_FILE_BYTES = 16 * 1024 * 1024
MAX_REPEATED_NODES = 100_000
"""How much aliases may add: a page of text can otherwise stand for more than the memory holds."""


@dataclass(slots=True)
class Document:
    """A configuration on its way to Settings.

    `variables`: keys that were set by the environment or the command line, with the place and name to blame.
    `secret`: keys whose value came from `env:` or `file:` and may not be shown. `errors`: what the form of the text got
    wrong without making the rest unreadable. `files`: each file that was read for it, as it was just before.
    """

    file: str
    data: dict[str, Any] = field(default_factory=dict, repr=False)
    places: dict[KeyPath, Place] = field(default_factory=dict, repr=False)
    variables: dict[KeyPath, tuple[Place, str]] = field(default_factory=dict)
    secret: set[KeyPath] = field(default_factory=set)
    errors: list[ConfigError] = field(default_factory=list)
    files: dict[Path, Stamp] = field(default_factory=dict)

    def place(self, path: KeyPath) -> Place:
        """Where the key stands, or the nearest block around it that stands anywhere."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Place(self.file))

    def error(self, path: KeyPath, reason: str) -> ConfigError:
        """An error about a key, blaming the variable or option that set it if one did."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.variables:
                place, name = self.variables[path[:length]]
                return ConfigError(place.file, place.line, name, reason)
        place = self.place(path)
        return ConfigError(place.file, place.line, dotted(path), reason)


def read_document(path: Path) -> Document:
    """The file as a Document. Raises ConfigErrors when it cannot be read or is no YAML of ours."""
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= MAX_FILE_BYTES else b""
    except OSError as error:
        raise ConfigErrors([ConfigError(str(path), None, "", _unreadable(error))]) from None
    if size > MAX_FILE_BYTES:
        reason = f"has {size} bytes; a configuration may have {MAX_FILE_BYTES}"
        raise ConfigErrors([ConfigError(str(path), None, "", reason)])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigErrors([ConfigError(str(path), line, "", "is not UTF-8; save the file as UTF-8")]) from None
    return parse_document(text, str(path))


def parse_document(text: str, file: str) -> Document:
    """The text as a Document; `file` is what errors call it. Raises ConfigErrors for what is no YAML at all."""
    reader = _Reader(Document(file))
    node = compose(text, file)
    data = {} if node is None else reader.value(node, ())
    if node is not None and data is not None and not isinstance(data, dict):
        reader.refuse(node, "", "the file must hold keys such as scoring: and services:")
        raise ConfigErrors(reader.document.errors)
    reader.document.data = data or {}
    return reader.document


def _unreadable(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file; give the configuration with --config"
    return f"cannot be read: {error.strerror or error}"


class _Reader:
    """One walk over the node graph: data out, places and errors kept."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._repeated = 0
        self._seen: set[int] = set()
        self._open: set[int] = set()

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        self._repeated += id(node) in self._seen
        self._seen.add(id(node))
        if self._repeated > MAX_REPEATED_NODES or len(self._open) > MAX_DEPTH:
            self.refuse(node, dotted(path), "grows too large by its aliases")
            raise ConfigErrors(self.document.errors)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if id(node) in self._open:
            return self.refuse(node, dotted(path), "an alias that holds itself")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._block(node, path)
            return self._list(node, path)
        finally:
            self._open.discard(id(node))

    def refuse(self, node: yaml.Node, key: str, reason: str) -> None:
        self.document.errors.append(ConfigError(self.document.file, node.start_mark.line + 1, key, reason))

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        convert = SCALARS.get(node.tag)
        if convert is None:
            return self._refuse_tag(node, path)
        try:
            value = convert(node.value)
        except (ValueError, IndexError):
            return self._refuse_tag(node, path)
        if not is_utf8(node.value):
            return self.refuse(
                node, dotted(path), "half a surrogate pair (\\uD800 to \\uDFFF); write the character itself"
            )
        if isinstance(value, float) and not math.isfinite(value):
            return self.refuse(node, dotted(path), "is no finite number; write a text in quotes, or a number")
        return value

    def _refuse_tag(self, node: yaml.Node, path: KeyPath) -> None:
        tag = node.tag.replace(TAG, "!!")
        self.refuse(node, dotted(path), f"the tag {tag} has no meaning here; leave it out, and put a text in quotes")

    def _list(self, node: yaml.Node, path: KeyPath) -> list[Any]:
        if node.tag != TAG + "seq":
            self._refuse_tag(node, path)
        for index, item in enumerate(node.value):
            self._keep_place(item, (*path, index))
        return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]

    def _block(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        if node.tag != TAG + "map":
            self._refuse_tag(node, path)
        result: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag == TAG + "merge":
                result = self._merged(value, path) | result
        own: set[str] = set()
        for key, value in node.value:
            if key.tag == TAG + "merge":
                continue
            if not isinstance(key, yaml.ScalarNode) or key.tag != TAG + "str" or not is_utf8(key.value):
                self.refuse(key, dotted(path), "a key that is no text; put it in quotes")
            elif key.value in own:
                first = self.document.places[*path, key.value].line
                self.refuse(key, dotted((*path, key.value)), f"stands twice, first in line {first}; keep one")
            else:
                own.add(key.value)
                self._keep_place(key, (*path, key.value))
                result[key.value] = self.value(value, (*path, key.value))
        return result

    def _merged(self, node: yaml.Node, path: KeyPath) -> dict[str, Any]:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        result: dict[str, Any] = {}
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                self.refuse(source, dotted(path), "<< takes a block of keys, or a list of them")
                continue
            result = self.value(source, path) | result
        return result

    def _keep_place(self, node: yaml.Node, path: KeyPath) -> None:
        mark = node.start_mark
        self.document.places[path] = Place(self.document.file, mark.line + 1, mark.column + 1)
