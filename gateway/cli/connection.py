"""Which gateway a command talks to. The URL decides where its credential comes from, so that none is sent elsewhere."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.output import Form, print_answer
from gateway.client import UnknownGatewayError, Workspace
from gateway.client.address import ADMIN_URL, CA_FILE, Address, environment_credential, from_ready_file, read_credential
from gateway.client.message import Request

READY_FILE = Path("var/ready.json")


@dataclass(frozen=True, slots=True)
class Call:
    """What a command that talks to a gateway is given: the gateway, and the form of its output."""

    workspace: Workspace
    form: Form

    @property
    def address(self) -> Address:
        """Where requests go."""
        return self.workspace.address

    def show(self, request: Request, table: Callable[[Any], str]) -> None:
        """Perform one operation and print its answer."""
        self.print(self.workspace.call(request), table)

    def print(self, answer: Any, table: Callable[[Any], str]) -> None:
        """Print an answer; `table` makes the text for people."""
        print_answer(answer, self.form, table)


def _options(
    *,
    admin_url: Annotated[
        str | None, typer.Option(help=f"Admin address, such as https://127.0.0.1:8444. [env: {ADMIN_URL}]")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File that holds the admin token. [env: SCOREGATE_ADMIN_TOKEN_FILE]")
    ] = None,
    ca_file: Annotated[Path | None, typer.Option(help=f"PEM of the CA of the gateway. [env: {CA_FILE}]")] = None,
    output: Annotated[Form, typer.Option("--output", "-o", help="How to print the answer.")] = Form.table,
) -> Call:
    address = find(os.environ, READY_FILE, admin_url=admin_url, token_file=token_file, ca_file=ca_file)
    return Call(Workspace.at(address), output)


def on_gateway(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command whose first parameter is a Call: on the command line it has the options that make one instead."""
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    shared = list(inspect.signature(_options, eval_str=True).parameters.values())
    names = [parameter.name for parameter in shared]

    @functools.wraps(command)
    def outer(**given: Any) -> Any:
        call = _options(**{name: given.pop(name) for name in names})
        with call.workspace:
            return command(call, **given)

    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (*own, *shared)]
    outer.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    outer.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return outer


def find(
    environ: Mapping[str, str],
    ready_file: Path,
    *,
    admin_url: str | None = None,
    token_file: Path | None = None,
    ca_file: Path | None = None,
) -> Address:
    """The gateway meant by the options, else by the environment, else by the ready file. Raises UnknownGatewayError."""
    given_ca = str(ca_file) if ca_file else None
    url = admin_url or environ.get(ADMIN_URL)
    if url:
        credential = read_credential(token_file) if token_file else environment_credential(environ)
        return Address(url, credential, given_ca or environ.get(CA_FILE) or None)
    if not ready_file.exists():
        raise UnknownGatewayError(
            f"No gateway is named, and there is no {ready_file} here. Start one (scoregate demo), or give --admin-url "
            f"and --token-file, or set {ADMIN_URL} and SCOREGATE_ADMIN_TOKEN_FILE."
        )
    found = from_ready_file(ready_file)
    credential = read_credential(token_file) if token_file else found.credential
    return replace(found, credential=credential, ca_file=given_ca or found.ca_file)
