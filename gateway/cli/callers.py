"""`scoregate callers …`: customers of a service, each with a key, an expiry, verbs and limits of its own."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from gateway.cli.connection import Call, on_gateway
from gateway.cli.outcome import usage
from gateway.cli.output import fields, rows
from gateway.cli.services import Name
from gateway.client import callers

app = typer.Typer(
    help="List, show, create, update and revoke the named callers of a service.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Caller = Annotated[str, typer.Argument(metavar="CALLER", help="The customer.", show_default=False)]
ExpiresOption = Annotated[
    str | None, typer.Option("--expires-at", help="From then on its key opens nothing: 2027-01-31T00:00:00Z, or never.")
]
VerbOption = Annotated[
    list[str] | None, typer.Option("--verb", help="What it may do: score, batch, swagger; none given: all. Repeatable.")
]
LimitOption = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        help="A limit of its own as NAME=REQUESTS/SECONDS[/BURST]: --limit burst=100/1. Repeatable; `none`: no limits.",
    ),
]

_LIMIT = re.compile(r"(?P<name>[^=]+)=(?P<requests>\d+)/(?P<seconds>\d+(\.\d+)?)(/(?P<burst>\d+))?")
_SHOWN = ("name", "id", "verbs", "rate_limits", "expires_at", "grace_until", "last_used_at", "uses_24h")


@app.command("list")
@on_gateway
def list_callers(call: Call, name: Name) -> None:
    """List the named callers of a service."""
    found = call.workspace.converse(callers.every_caller(call.address, name))
    call.print({"value": found}, _overview)


@app.command()
@on_gateway
def show(call: Call, name: Name, caller: Caller) -> None:
    """Show one caller, with its key unless the gateway shows keys once only."""
    call.show(callers.get_caller(call.address, name, caller), fields)


@app.command()
@on_gateway
def create(
    call: Call,
    name: Name,
    caller: Caller,
    *,
    expires_at: ExpiresOption = None,
    verb: VerbOption = None,
    limit: LimitOption = None,
) -> None:
    """Give a customer a key of its own.

    scoregate callers create diabetes acme --verb score --limit burst=100/1 --expires-at 2027-12-31T23:59:59Z
    """
    call.show(callers.create_caller(call.address, name, caller, _block(expires_at, verb, limit)), fields)


@app.command()
@on_gateway
def update(
    call: Call,
    name: Name,
    caller: Caller,
    *,
    expires_at: ExpiresOption = None,
    verb: VerbOption = None,
    limit: LimitOption = None,
) -> None:
    """Change what a caller may do, leave the rest.

    Its key stays.
    """
    block = _block(expires_at, verb, limit)
    if not block:
        raise usage("Nothing is given: use --expires-at, --verb or --limit.")
    call.show(callers.patch_caller(call.address, name, caller, block), fields)


@app.command()
@on_gateway
def regenerate(
    call: Call,
    name: Name,
    caller: Caller,
    grace_seconds: Annotated[
        int | None, typer.Option(min=0, help="How long the key of before still opens; left out: as configured.")
    ] = None,
) -> None:
    """Give a caller a new key.

    When this returns, no worker accepts the old one for longer than its grace.
    """
    call.show(callers.regenerate_caller_key(call.address, name, caller, grace_seconds=grace_seconds), fields)


@app.command()
@on_gateway
def revoke(
    call: Call,
    name: Name,
    caller: Caller,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Revoke a caller.

    When this returns, no worker accepts its key any more.
    """
    if not yes:
        if not sys.stdin.isatty():
            raise usage(f"Revoking {caller} wants a person's yes, or --yes.")
        typer.confirm(f"Revoke caller {caller} of {name}?", abort=True, err=True)
    call.workspace.call(callers.revoke_caller(call.address, name, caller))


def _block(expires_at: str | None, verbs: list[str] | None, limits: list[str] | None) -> dict[str, Any]:
    """What is given; `never` and `none` take a field back to its default."""
    block: dict[str, Any] = {}
    if expires_at is not None:
        block["expires_at"] = None if expires_at == "never" else expires_at
    if verbs:
        block["verbs"] = verbs
    if limits:
        block["rate_limits"] = [] if limits == ["none"] else [_limit(text) for text in limits]
    return block


def _limit(text: str) -> dict[str, Any]:
    found = _LIMIT.fullmatch(text)
    if found is None:
        raise usage("--limit wants NAME=REQUESTS/SECONDS, such as burst=100/1, or with a third number, the burst.")
    limit = {"name": found["name"], "requests": int(found["requests"]), "per_seconds": float(found["seconds"])}
    return limit | ({"burst": int(found["burst"])} if found["burst"] else {})


def _overview(answer: Mapping[str, Any]) -> str:
    return rows([_line(one) for one in answer["value"]], _SHOWN)


def _line(caller: Mapping[str, Any]) -> dict[str, Any]:
    limits = " ".join(_told(limit) for limit in caller["rate_limits"])
    return {**caller, "verbs": " ".join(caller["verbs"]), "rate_limits": limits or None}


def _told(limit: Mapping[str, Any]) -> str:
    """A limit as the option takes it."""
    burst = f"/{limit['burst']}" if limit.get("burst") else ""
    return f"{limit['name']}={limit['requests']}/{limit['per_seconds']:g}{burst}"
