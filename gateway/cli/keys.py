"""`scoregate keys …`: the two keys of a service, and the master key. Values come in by file or stdin, never by argv."""

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
from gateway.client import keys

app = typer.Typer(
    help="Show and regenerate the keys of a service; rotate the master key.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class Slot(StrEnum):
    """The two keys of a service."""

    primary = "primary"
    secondary = "secondary"


SlotOption = Annotated[Slot, typer.Option("--slot", help="Which key.", case_sensitive=False)]
_SHOWN = ("slot", "key", "id", "created_at", "last_used_at", "uses_24h", "expires_at", "grace_until")
_MASTER = ("id", "file", "data_keys", "state")


@app.command()
@on_gateway
def show(call: Call, name: Name) -> None:
    """Show both keys, how they are used, and whether it is safe to regenerate them."""
    call.print(call.workspace.converse(keys.shown(call.address, name)), _pair)


@app.command()
@on_gateway
def regenerate(
    call: Call,
    name: Name,
    slot: SlotOption,
    *,
    value_file: Annotated[
        Path | None, typer.Option(help="File that holds the new value, one line; - for stdin. Without it: random.")
    ] = None,
    grace_seconds: Annotated[
        int | None, typer.Option(min=0, help="How long the old key still opens. Without it: as configured.")
    ] = None,
    expires_at: Annotated[
        str | None, typer.Option(help="From then on the new key opens nothing: 2027-01-31T00:00:00Z.")
    ] = None,
) -> None:
    """Replace one key.

    When this returns, no worker accepts the old value any more, but for the grace that it has.
    """
    request = keys.regenerate_key(
        call.address,
        name,
        slot.value,
        value=_one_line(value_file) if value_file else None,
        grace_seconds=grace_seconds,
        expires_at=expires_at,
    )
    call.show(request, fields)


@app.command()
@on_gateway
def expire(
    call: Call,
    name: Name,
    slot: SlotOption,
    at: Annotated[
        str, typer.Option("--at", help="From then on the key opens nothing: 2027-01-31T00:00:00Z, or never.")
    ],
) -> None:
    """Let a key end at a time, or never.

    When this returns, every worker knows.
    """
    call.show(keys.patch_key(call.address, name, slot.value, expires_at=None if at == "never" else at), fields)


@app.command("master-key")
@on_gateway
def master_key(call: Call) -> None:
    """Show the master key files, and which of them may be deleted."""
    call.show(keys.get_master_key(call.address), _files)


@app.command()
@on_gateway
def rewrap(call: Call) -> None:
    """Wrap all data keys by the newest master key.

    Safe while the gateway serves, and safe to repeat. What was the master key before is needed no more then.
    """
    call.show(keys.rewrap(call.address), _rewrapped)


def _one_line(file: Path) -> str:
    value = read_text(file).rstrip("\r\n")
    if not value or "\n" in value:
        raise usage(f"{file} should hold the key value, one line.")
    return value


def _pair(answer: Mapping[str, Any]) -> str:
    slots = answer["slots"]
    lines = [{"slot": slot, "key": answer[f"{slot}_key"], **slots[slot]} for slot in keys.SLOTS]
    former = [
        {"slot": f"{slot}, before", **slots[slot]["former"], "expires_at": slots[slot]["grace_until"]}
        for slot in keys.SLOTS
        if slots[slot]["former"]
    ]
    hidden = [] if answer["primary_key"] else ["The keys themselves are not shown to you by this gateway."]
    return "\n".join([rows([*lines, *former], _SHOWN), "", *(slots[slot]["advice"] for slot in keys.SLOTS), *hidden])


def _rewrapped(answer: Mapping[str, Any]) -> str:
    count = answer["rewrapped"]
    done = f"{count} data key{'' if count == 1 else 's'} wrapped anew by {answer['id']} ({answer['file']})."
    return "\n".join([done, "", _files(answer)])


def _files(answer: Mapping[str, Any]) -> str:
    lines = [{**answer, "state": "wraps"}]
    lines += [{**one, "state": "still needed" if one["is_needed"] else "may be deleted"} for one in answer["previous"]]
    waiting = any(one["is_needed"] for one in answer["previous"])
    advice = ["", "Run `scoregate keys rewrap`: then the previous files are needed no more."] if waiting else []
    return "\n".join([rows(lines, _MASTER), *advice])
