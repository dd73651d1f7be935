"""The command line `scoregate`. Here commands are put together; each group has its own file.

Rule: a command says what to do in one call of `gateway.client` or of the part it starts; it decides nothing itself.
What is heavy to load is imported inside the command that needs it, so that `--help` and completion are quick.
"""

from __future__ import annotations

from typing import Annotated

import typer

from gateway import __version__
from gateway.cli import audit, callers, doctor, keys, process, scoring, services, tokens
from gateway.cli.outcome import EXPLAINED, Commands

app = typer.Typer(
    cls=Commands,
    help="Scoregate: the front door for model services.",
    epilog=EXPLAINED,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)

app.command()(process.demo)
app.command()(process.serve)
app.command()(process.check)
app.add_typer(process.config, name="config")
app.add_typer(process.certificate, name="certificate")
app.command("doctor")(doctor.examine)
app.add_typer(services.app, name="services")
app.add_typer(keys.app, name="keys")
app.add_typer(callers.app, name="callers")
app.add_typer(tokens.app, name="token")
app.command()(audit.audit)
app.command()(scoring.score)
app.command()(scoring.status)


def main() -> None:
    """Run the command line of this process. Always raises SystemExit with the exit code."""
    app(prog_name="scoregate")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"scoregate {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass
