"""Commands about a gateway of one's own: start it, check its file, make its certificate."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.connection import READY_FILE
from gateway.cli.outcome import CommandError, usage

if TYPE_CHECKING:
    from gateway.config import Loaded

config = typer.Typer(help="About the configuration file.", no_args_is_help=True, rich_markup_mode=None)
certificate = typer.Typer(help="Make certificates.", no_args_is_help=True, rich_markup_mode=None)

ReadyFile = Annotated[
    Path | None, typer.Option(help="Written once every listener accepts. [default: ready.json in data_dir]")
]


def demo(
    ready_file: Annotated[Path, typer.Option(help="Written once everything answers.")] = READY_FILE,
    port_base: Annotated[
        int, typer.Option(min=0, max=65532, help="Scoring port; admin, metrics and model server follow. 0: free ports.")
    ] = 8443,
) -> int:
    """Try it: model server and gateway, in ./var.

    A real model server and the gateway before it, on 127.0.0.1; the first start installs the server.
    """
    from gateway.demo import run

    return run(port_base=port_base, ready_file=ready_file)


def serve(
    config_file: Annotated[Path | None, typer.Option("--config", help="The configuration, gateway.yaml.")] = None,
    backend: Annotated[str | None, typer.Option(help="Without a file: the model container to serve, its URL.")] = None,
    name: Annotated[str | None, typer.Option(help="With --backend: the name of the service.")] = None,
    ready_file: ReadyFile = None,
) -> int:
    """Start the gateway.

    With --config by a file; with --backend keys, tokens and TLS before what you already run, without a file.
    """
    from gateway.config import serve_backend

    if (config_file is None) == (backend is None):
        raise usage("Give either --config FILE or --backend URL.")
    if backend is None and name is not None:
        raise usage("--name goes with --backend; in a file the services have their names.")
    loaded = _loaded(config_file) if backend is None else _valid(lambda: serve_backend(backend, name, os.environ))
    _warn(loaded.warnings)
    from gateway.app import serve as run

    return run(loaded, ready_file=ready_file)


def check(config_file: Annotated[Path, typer.Option("--config", help="The configuration, gateway.yaml.")]) -> None:
    """Check a configuration.

    Looks at the files it names too, and prints what would be served. Mistakes are told as file:line: key: reason.
    """
    from gateway.config import check as findings_of
    from gateway.config import show

    loaded = _loaded(config_file)
    findings = findings_of(loaded)
    _warn(findings.warnings)
    if findings.errors:
        raise CommandError("\n".join(map(str, findings.errors)))
    print(show(loaded), end="")


@config.command()
def schema() -> None:
    """Print its JSON schema, for editors."""
    from gateway.config import schema as document

    print(json.dumps(document(), indent=2))


@config.callback()
def _about_config() -> None:
    """Keep `schema` a command of its own: Typer would make it the group while it is the only one."""


@certificate.command()
def dev(
    directory: Annotated[Path, typer.Option(help="Where ca.crt, server.crt and server.key go.")] = Path("var/tls"),
    name: Annotated[
        list[str] | None, typer.Option(help="DNS name or address the gateway is called by. Repeatable.")
    ] = None,
) -> None:
    """Make a development certificate.

    A CA and a server certificate signed by it, for localhost and the names given.
    """
    from gateway.certificate import CertificateError, make_development_certificate

    try:
        files = make_development_certificate(directory, name or ())
    except CertificateError as error:
        raise CommandError(str(error)) from None
    print(f"{'made' if files.ca_made else 'kept'}  {files.ca}  (give it to clients: SCOREGATE_CA_FILE, curl --cacert)")
    print(f"{'made' if files.certificate_made else 'kept'}  {files.certificate}, {files.private_key}")


@certificate.callback()
def _about_certificates() -> None:
    """Keep `dev` a command of its own: Typer would make it the group while it is the only one."""


def _loaded(file: Path | None) -> Loaded:
    from gateway.config import load

    return _valid(lambda: load(file, os.environ))


def _valid(read: Callable[[], Loaded]) -> Loaded:
    from gateway.config import ConfigErrors

    try:
        return read()
    except ConfigErrors as errors:
        raise CommandError(str(errors)) from None


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        sys.stderr.write(f"scoregate: warning: {warning}\n")
