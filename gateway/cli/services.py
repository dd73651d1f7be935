"""`scoregate services …`: what is served."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from gateway.cli.block import BackendOption, FileOption, SetOption, service_block
from gateway.cli.connection import Call, on_gateway
from gateway.cli.outcome import CommandError, usage
from gateway.cli.output import fields, rows
from gateway.client import WebserviceNotFound, operation

app = typer.Typer(help="List, show, create, update and delete services.", no_args_is_help=True, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The service.", show_default=False)]


@app.command("list")
@on_gateway
def list_services(
    call: Call,
    tag: Annotated[list[str] | None, typer.Option(help="NAME or NAME=VALUE: only those with it. Repeatable.")] = None,
) -> None:
    """List the services of the gateway."""
    services = call.workspace.converse(operation.every_service(call.address, tags=tag))
    call.print({"value": services}, _overview)


@app.command()
@on_gateway
def show(call: Call, name: Name) -> None:
    """Show one service."""
    call.show(operation.get_service(call.address, name), fields)


@app.command()
@on_gateway
def create(
    call: Call,
    name: Name,
    *,
    backend: BackendOption = None,
    setting: SetOption = None,
    file: FileOption = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the service if there is one.")] = False,
) -> None:
    """Create a service.

    scoregate services create diabetes --backend http://127.0.0.1:5001
    """
    block = service_block(file, setting, backend)
    if not replace and _exists(call, name):
        raise CommandError(f"Service {name} exists: change it with 'services update', or give --replace.")
    call.show(operation.put_service(call.address, name, block), fields)


@app.command()
@on_gateway
def update(
    call: Call, name: Name, backend: BackendOption = None, setting: SetOption = None, file: FileOption = None
) -> None:
    """Change what is named, leave the rest.

    The value null takes a key back to its default.
    """
    block = service_block(file, setting, backend)
    call.show(operation.patch_service(call.address, name, block), fields)


@app.command()
@on_gateway
def delete(
    call: Call,
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a service and its keys."""
    if not yes:
        if not sys.stdin.isatty():
            raise usage(f"Deleting {name} wants a person's yes, or --yes.")
        typer.confirm(f"Delete service {name} and its keys?", abort=True, err=True)
    call.workspace.call(operation.delete_service(call.address, name))


def _exists(call: Call, name: str) -> bool:
    try:
        call.workspace.call(operation.get_service(call.address, name))
    except WebserviceNotFound:
        return False
    return True


def _overview(answer: Mapping[str, Any]) -> str:
    return rows(answer["value"], ("name", "state", "auth_enabled", "token_auth_enabled", "origin", "scoring_uri"))
