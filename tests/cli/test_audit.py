"""`scoregate audit`: the newest entries for people, all of them for programs."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def entries(ready, fake):
    """Five entries of two actors."""
    fake.audit = [
        {
            "id": number,
            "at": f"2026-11-21T18:00:0{number}.000Z",
            "actor": "admin" if number < 4 else "oidc:ann",
            "from": "203.0.113.7",
            "action": "regenerate_key",
            "service": "diabetes",
            "target": "primary",
            "result": "done",
        }
        for number in range(1, 6)
    ]
    return fake.audit


def test_the_newest_for_people(scoregate, entries, fake):
    """One line an entry, the newest last; fifty unless another number is asked for."""
    lines = scoregate("audit").stdout.splitlines()
    assert lines[0].split() == ["ID", "AT", "ACTOR", "FROM", "ACTION", "SERVICE", "TARGET", "RESULT"]
    assert [line.split()[0] for line in lines[1:]] == ["1", "2", "3", "4", "5"]
    assert ("newest", "50") in fake.seen[-1].query
    lines = scoregate("audit", "--newest", 2, "--actor", "oidc:ann", "--service", "diabetes").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["4", "5"]
    assert scoregate("audit", "--after", 4).stdout.splitlines()[1].startswith("5 ")


def test_json_is_the_answer_of_the_operation(scoregate, entries):
    """-o json prints what the admin API answered."""
    assert json.loads(scoregate("audit", "--newest", 1, "-o", "json").stdout) == {"value": entries[-1:]}


def test_export_to_a_file(scoregate, entries, tmp_path):
    """All entries, page after page, one JSON object a line, in a file that only this user reads; and where to go on."""
    result = scoregate("audit", "--export", "audit.jsonl")
    assert result.exit_code == 0
    assert [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()] == entries
    assert (tmp_path / "audit.jsonl").stat().st_mode & 0o777 == 0o600
    assert result.stdout == ""
    assert result.stderr == "5 entries; go on later with --after 5\n"


def test_export_goes_on(scoregate, entries):
    """After an id, by filters, to stdout; with nothing new the id stays."""
    result = scoregate("audit", "--export", "-", "--after", 2, "--actor", "admin")
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == [3]
    assert scoregate("audit", "--export", "-", "--after", 5).stderr == "0 entries; go on later with --after 5\n"


def test_an_export_overwrites_nothing(scoregate, entries, tmp_path):
    """A file that is there stays as it is."""
    (tmp_path / "audit.jsonl").write_text("mine")
    result = scoregate("audit", "--export", "audit.jsonl")
    assert result.exit_code == 1
    assert "exists already" in result.stderr
    assert (tmp_path / "audit.jsonl").read_text() == "mine"


def test_an_export_has_all(scoregate, entries):
    """--newest makes no sense there, and is refused instead of ignored."""
    assert scoregate("audit", "--export", "-", "--newest", 2).exit_code == 2


def test_pages_without_end_are_noticed(scoregate, entries, fake):
    """A gateway that gives the same page again and again does not fill the disk."""
    fake.page = 0
    result = scoregate("audit", "--export", "-")
    assert result.exit_code == 1
    assert "no end" in result.stderr
