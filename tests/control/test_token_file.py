"""The file of the bootstrap token while the gateway runs."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from gateway.control.token_file import TokenFile

FIRST, SECOND = "sga_" + "1" * 40, "sga_" + "2" * 40


@pytest.fixture
def replaced() -> list[str]:
    return []


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "admin-token"
    file.write_text(FIRST + "\n")
    return file


@pytest.fixture
def file(path: Path, replaced: list[str]) -> TokenFile:
    return TokenFile(path, FIRST, replaced.append)


def put(path: Path, text: str) -> None:
    """Replace the file as people and Kubernetes do: by a rename."""
    scratch = path.with_name("scratch")
    scratch.write_text(text)
    scratch.replace(path)


def test_another_token_is_told_once(file: TokenFile, path: Path, replaced: list[str]) -> None:
    """Looked at often, a file is told when it holds another token, and only then."""
    for _ in range(3):
        file.look()
    assert replaced == []
    put(path, SECOND + "\n")
    for _ in range(3):
        file.look()
    assert replaced == [SECOND]


def test_written_in_place(file: TokenFile, path: Path, replaced: list[str]) -> None:
    """A token that is written over the old one counts, too."""
    file.look()
    path.write_text(SECOND)
    os.utime(path, ns=(1, 1))
    file.look()
    assert replaced == [SECOND]


def test_a_secret_of_kubernetes(tmp_path: Path, replaced: list[str]) -> None:
    """A mounted Secret is a link to a link to a folder that is swapped."""
    for name, token in (("one", FIRST), ("two", SECOND)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "token").write_text(token)
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "token").symlink_to("..data/token")
    file = TokenFile(tmp_path / "token", FIRST, replaced.append)
    file.look()
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").rename(tmp_path / "..data")
    file.look()
    assert replaced == [SECOND]


@pytest.mark.parametrize("text", ["", "short", "two words are no token at all", "sga_ümlaut-is-no-ascii"])
def test_what_is_no_token_changes_nothing(file: TokenFile, path: Path, replaced, caplog, text: str) -> None:
    """The old token stays in force; the log says so, once, and does not repeat what was in the file."""
    put(path, text)
    with caplog.at_level(logging.ERROR, "gateway.control"):
        file.look()
        file.look()
    assert replaced == []
    assert len(caplog.records) == 1
    assert "stays in force" in caplog.text
    assert not text or text not in caplog.text
    put(path, SECOND)
    file.look()
    assert replaced == [SECOND]


def test_a_file_that_is_away(file: TokenFile, path: Path, replaced: list[str]) -> None:
    """Between two tokens there may be no file: the old one opens until there is another."""
    path.unlink()
    file.look()
    path.write_text(SECOND)
    file.look()
    assert replaced == [SECOND]
