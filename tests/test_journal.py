"""The gateway's own log: one JSON object a line on stderr, whatever was said."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


def journal(level: str, source: str) -> list[dict[str, object]]:
    """What a process that configured its log so wrote to stderr; every line must be one object."""
    script = f"import logging\nfrom gateway import journal\njournal.configure({level!r})\n{source}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_line() -> None:
    """Time in UTC, level, logger, process and message."""
    (entry,) = journal("info", "logging.getLogger('gateway.worker').info('served %d', 3)")
    assert (entry["level"], entry["logger"], entry["message"]) == ("info", "gateway.worker", "served 3")
    assert isinstance(entry["pid"], int)
    assert str(entry["time"])[10] == "T"
    assert str(entry["time"]).endswith("Z")
    assert "exception" not in entry


@pytest.mark.parametrize(
    ("level", "heard"),
    [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)],
)
def test_levels(level: str, heard: int) -> None:
    """Only what is at least as grave as asked is written."""
    says = "".join(f"logging.getLogger('x').{name}('x')\n" for name in ("debug", "info", "warning", "error"))
    assert len(journal(level, says)) == heard


def test_exception_stays_on_its_line() -> None:
    """A trace of many lines, and a message with line ends, is still one line."""
    source = "try:\n    1 / 0\nexcept ZeroDivisionError:\n    logging.getLogger('x').exception('two\\nlines')"
    (entry,) = journal("info", source)
    assert entry["message"] == "two\nlines"
    assert "ZeroDivisionError: division by zero" in str(entry["exception"])


def test_control_a_plain_log_breaks_its_lines() -> None:
    """Control: Python's own format would have written the same message on several lines, which are no objects."""
    with pytest.raises(json.JSONDecodeError):
        journal("info", "logging.basicConfig(force=True)\nlogging.getLogger('x').error('two\\nlines')")


@pytest.mark.parametrize("name", ["aiohttp.access", "alembic.runtime", "asyncio"])
def test_noise_of_libraries(name: str) -> None:
    """What libraries say at info is left out, their warnings are not."""
    entries = journal("info", f"logging.getLogger({name!r}).info('x')\nlogging.getLogger({name!r}).warning('y')")
    assert [entry["message"] for entry in entries] == ["y"]


def test_configured_twice() -> None:
    """A process that configures its log again, as after a fork, does not say everything twice."""
    assert len(journal("info", "journal.configure('info')\nlogging.getLogger('x').info('once')")) == 1
