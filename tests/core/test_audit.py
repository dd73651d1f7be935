"""Entries of the audit log: what they may hold."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.core.audit import MAX_TEXT, AuditEntry, AuditQuery

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def entry(**fields: str) -> AuditEntry:
    return AuditEntry(**{"at": NOON, "actor": "admin", "action": "put_service", **fields})


def test_an_entry_that_says_nothing_more_is_something_done():
    """What is left out is empty, and the result is that it was done."""
    made = entry()
    assert (made.address, made.service, made.target, made.result, made.id) == ("", "", "", "done", 0)


@pytest.mark.parametrize("name", ["actor", "action", "address", "service", "target", "result"])
def test_every_text_is_one_short_line(name):
    """Nobody forges a second line, sends a code to the terminal, or fills the disk with one entry."""
    assert getattr(entry(**{name: "a\nb\x1b[2J\0c"}), name) == "a?b?[2J?c"
    assert getattr(entry(**{name: "x" * MAX_TEXT}), name) == "x" * MAX_TEXT
    assert getattr(entry(**{name: "x" * 10_000}), name) == "x" * (MAX_TEXT - 1) + "…"


def test_what_is_asked_for_has_the_form_of_what_is_kept():
    """A text that no entry can have, and no database takes, becomes one that finds nothing or the entry it means."""
    asked = AuditQuery(actor="a\0b", service=None, action="x" * 1000)
    assert (asked.actor, asked.service, asked.action) == ("a?b", None, entry(action="x" * 1000).action)
