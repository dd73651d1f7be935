"""`scoregate audit`: who did what, when, from where, with which result."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.connection import Call, on_gateway
from gateway.cli.outcome import CommandError, usage
from gateway.cli.output import rows
from gateway.client.audit import every_entry, list_audit

COLUMNS = ("id", "at", "actor", "from", "action", "service", "target", "result")


@on_gateway
def audit(
    call: Call,
    *,
    service: Annotated[str | None, typer.Option(help="Only what was done to this service.")] = None,
    actor: Annotated[str | None, typer.Option(help="Only what this actor did, such as admin.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this action, such as regenerate_key.")] = None,
    newest: Annotated[int | None, typer.Option(min=1, max=1000, help="The newest so many. [default: 50]")] = None,
    after: Annotated[int | None, typer.Option(min=0, help="Only entries after the one with this id.")] = None,
    export: Annotated[
        Path | None, typer.Option(help="Write all entries as JSON lines to this new file; - for stdout.")
    ] = None,
) -> None:
    """Show or export the audit log.

    Shows the newest entries, the newest last. With --export: all entries, or all after --after.
    """
    filters = {"service": service, "actor": actor, "action": action}
    if export is not None:
        if newest is not None:
            raise usage("--newest and --export do not go together: an export has all entries.")
        _export(call, export, after or 0, filters)
        return
    call.show(list_audit(call.address, newest=newest or 50, after=after or 0, filters=filters), _table)


def _export(call: Call, file: Path, after: int, filters: Mapping[str, str | None]) -> None:
    count = 0
    with _opened(file) as out:

        def take(entries: Sequence[Mapping[str, Any]]) -> None:
            nonlocal count
            out.writelines(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
            count += len(entries)

        last = call.workspace.converse(every_entry(call.address, take, after=after, filters=filters))
    print(f"{count} entries; go on later with --after {last}", file=sys.stderr)


def _opened(file: Path) -> Any:
    if str(file) == "-":
        return nullcontext(sys.stdout)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise CommandError(
            f"{file} exists already: an export makes a new file, and nothing of an old one is lost."
        ) from None
    return os.fdopen(descriptor, "w", encoding="utf-8")


def _table(page: Mapping[str, Any]) -> str:
    return rows(page["value"], COLUMNS)
