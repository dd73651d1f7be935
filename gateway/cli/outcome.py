"""How a command ends: the exit codes, and one line on stderr for whatever went wrong."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from gateway.client.error import (
    ClientError,
    NotAllowedError,
    RefusedError,
    ScoringError,
    UnknownGatewayError,
    UnreachableError,
)

OK = 0
FAILED = 1
USAGE = 2
UNREACHABLE = 3
NOT_FOUND = 4
NOT_ALLOWED = 5
INTERRUPTED = 130

EXPLAINED = (
    "Exit codes: 0 done; 1 refused or failed; 2 wrong usage; 3 the gateway cannot be reached, or none is named; "
    "4 not found; 5 not allowed; 130 interrupted."
)


class CommandError(Exception):
    """A command cannot do what it was asked. Each line of the text is for a person."""

    def __init__(self, text: str, code: int = FAILED) -> None:
        super().__init__(text)
        self.code = code


def usage(text: str) -> CommandError:
    """The command line itself is wrong."""
    return CommandError(text, USAGE)


class Commands(TyperGroup):
    """The root of all commands: ends the process with the code of what happened, never with a traceback of ours."""

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run one command line and exit."""
        try:
            result = super().main(*args, **(extra | {"standalone_mode": False}))
        except typer.Abort:
            _say("aborted")
            sys.exit(FAILED)
        except typer.TyperException as error:
            _say_usage(error)
            sys.exit(error.exit_code)
        except (CommandError, ClientError, OSError) as error:
            _say(str(error))
            sys.exit(code_of(error))
        sys.exit(result if isinstance(result, int) else OK)


def code_of(error: Exception) -> int:
    """The exit code that stands for an error."""
    if isinstance(error, CommandError):
        return error.code
    if isinstance(error, UnreachableError | UnknownGatewayError):
        return UNREACHABLE
    if isinstance(error, NotAllowedError):
        return NOT_ALLOWED
    if isinstance(error, RefusedError | ScoringError):
        return {401: NOT_ALLOWED, 403: NOT_ALLOWED, 404: NOT_FOUND}.get(error.status, FAILED)
    return FAILED


def _say(text: str) -> None:
    for line in text.splitlines():
        sys.stderr.write(f"scoregate: {line}\n")


def _say_usage(error: typer.TyperException) -> None:
    text = error.format_message()
    if text.startswith("Usage:"):
        # A group without a command: its help is the message.
        sys.stderr.write(f"{text}\n")
        return
    context = getattr(error, "ctx", None)
    hint = f" See '{context.command_path} --help'." if context else ""
    sentence = " ".join(text.split())
    _say(f"{sentence}{'' if sentence.endswith(('.', '?')) else '.'}{hint}")
