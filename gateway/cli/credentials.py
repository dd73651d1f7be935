"""`scoregate keys …` and `scoregate token …`: what opens a service. Values come in by file or stdin, never by argv."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.block import read_text
from gateway.cli.connection import Call, on_gateway
from gateway.cli.outcome import usage
from gateway.cli.output import fields, rows
from gateway.cli.services import Name
from gateway.client import operation

keys = typer.Typer(help="Show and regenerate the keys of a service.", no_args_is_help=True, rich_markup_mode=None)
token = typer.Typer(help="Issue tokens for a service.", no_args_is_help=True, rich_markup_mode=None)


class Slot(StrEnum):
    """The two keys of a service."""

    primary = "primary"
    secondary = "secondary"


@keys.command()
@on_gateway
def show(call: Call, name: Name) -> None:
    """Show both keys and when each was last used."""
    call.show(operation.get_keys(call.address, name), _pair)


@keys.command()
@on_gateway
def regenerate(
    call: Call,
    name: Name,
    slot: Annotated[Slot, typer.Option(help="Which key to replace.", case_sensitive=False)],
    value_file: Annotated[
        Path | None, typer.Option(help="File that holds the new value, one line; - for stdin. Without it: random.")
    ] = None,
) -> None:
    """Replace one key.

    When this returns, no worker accepts the old value any more.
    """
    value = _one_line(value_file) if value_file else None
    call.show(operation.regenerate_key(call.address, name, slot.value, value=value), fields)


@token.command()
@on_gateway
def issue(
    call: Call,
    name: Name,
    verb: Annotated[list[str] | None, typer.Option(help="What it may be used for: score, batch, swagger.")] = None,
    lifetime_seconds: Annotated[int | None, typer.Option(min=1, help="How long it lives.")] = None,
) -> None:
    """Issue a token that opens the service."""
    call.show(operation.issue_token(call.address, name, verbs=verb, lifetime_seconds=lifetime_seconds), fields)


def _one_line(file: Path) -> str:
    value = read_text(file).rstrip("\r\n")
    if not value or "\n" in value:
        raise usage(f"{file} should hold the key value, one line.")
    return value


def _pair(answer: Mapping[str, Any]) -> str:
    slots = answer.get("slots") or {}
    lines = [{"slot": slot.value, "key": answer.get(f"{slot.value}_key"), **slots.get(slot.value, {})} for slot in Slot]
    return rows(lines, list(dict.fromkeys(key for line in lines for key in line)))
