"""docs/requirements.md: every statement has a test that exists, or says what is to come."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "requirements.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)
ROWS = re.findall(r"^\| ([CS]\d+) \| (.+) \| (.+) \|$", TEXT, re.MULTILINE)


def _missing(named: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Which of (file, test) do not exist."""
    return {(file, name) for file, name in named if name not in _functions(ROOT / file)}


def _functions(file: Path) -> set[str]:
    if not file.exists():
        return set()
    nodes = ast.walk(ast.parse(file.read_text()))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_named_test_exists() -> None:
    """Each test that the document names is there, under that name."""
    assert len(NAMED) > 60
    assert _missing(NAMED) == set()


def test_every_statement_is_settled() -> None:
    """Each statement names a test, or says what is still to come; the numbers are whole."""
    numbers = [number for number, _, _ in ROWS]
    counts = [sum(number.startswith(letter) for number in numbers) for letter in "CS"]
    assert numbers == [f"{letter}{n}" for letter, count in zip("CS", counts, strict=True) for n in range(1, count + 1)]
    assert len(ROWS) == TEXT.count("\n| ") - 2, "a row is not in the form of the others"
    unsettled = [number for number, _, shown in ROWS if "::" not in shown and "Still to come: " not in shown]
    assert unsettled == []


def test_an_invented_test_is_missed() -> None:
    """Control: a test that does not exist, and a file that does not, are found missing."""
    invented = {("tests/acceptance/test_tls.py", "test_tls_1_4"), ("tests/acceptance/test_nothing.py", "test_it")}
    assert _missing([NAMED[0], *invented]) == invented
