"""`scoregate token …`: tokens that open a service, and the keys that sign them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from gateway.cli.connection import Call, on_gateway
from gateway.cli.outcome import usage
from gateway.cli.output import fields, rows
from gateway.cli.services import Name
from gateway.client import tokens

app = typer.Typer(
    help="Issue and revoke tokens, and rotate the keys that sign them.", no_args_is_help=True, rich_markup_mode=None
)


@app.command()
@on_gateway
def issue(
    call: Call,
    name: Name,
    verb: Annotated[list[str] | None, typer.Option(help="What it may be used for: score, batch, swagger.")] = None,
    lifetime_seconds: Annotated[int | None, typer.Option(min=1, help="How long it lives.")] = None,
) -> None:
    """Issue a token that opens the service."""
    call.show(tokens.issue_token(call.address, name, verbs=verb, lifetime_seconds=lifetime_seconds), fields)


@app.command()
@on_gateway
def revoke(
    call: Call,
    name: Name,
    jti: Annotated[str | None, typer.Option(help="One token, by its id (key_id in the access log).")] = None,
    subject: Annotated[str | None, typer.Option(help="All tokens of this subject, issued until now.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All tokens of the service, issued until now.")] = False,
) -> None:
    """Revoke tokens before they expire.

    When this returns, no worker accepts them any more.
    """
    if [jti is not None, subject is not None, everything].count(True) != 1:
        raise usage("say which tokens: --jti, --subject or --all, one of them")
    call.show(tokens.revoke_tokens(call.address, name, jti=jti, subject=subject), fields)


@app.command("signing-keys")
@on_gateway
def signing_keys(call: Call) -> None:
    """List the keys that sign tokens, and those that only verify."""
    call.show(tokens.list_signing_keys(call.address), _keys)


@app.command("rotate-signing-keys")
@on_gateway
def rotate_signing_keys(
    call: Call,
    revoke_tokens: Annotated[
        bool, typer.Option("--revoke", help="End every token of every service, too: a signing key was stolen.")
    ] = False,
) -> None:
    """Let the next signing key sign from now on.

    The one before verifies until its last token has expired.
    """
    call.show(tokens.rotate_signing_keys(call.address, revoke=revoke_tokens), _keys)


def _keys(answer: Mapping[str, Any]) -> str:
    return rows(answer["value"], ["kid", "state", "not_after"])
