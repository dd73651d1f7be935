"""The one error of the demo: everything a person at the terminal can meet, said in one line."""

from __future__ import annotations


class DemoError(Exception):
    """The demo cannot go on. `str(error)` says what is wrong, where, and what to do."""
