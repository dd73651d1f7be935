"""The command as people start it: in a process of its own."""

import os
import signal
import subprocess
import sys

import pytest

from gateway import __version__

SHELLS = {"bash": "complete ", "zsh": "#compdef scoregate", "fish": "complete --command scoregate"}


def command(*arguments, **environ):
    return subprocess.run(
        [sys.executable, "-m", "gateway", *map(str, arguments)],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_version():
    """The version is the package's."""
    assert command("--version").stdout == f"scoregate {__version__}\n"


def test_help_tells_the_exit_codes():
    """They are in --help."""
    result = command("--help")
    assert result.returncode == 0
    assert "3 the gateway cannot be reached" in " ".join(result.stdout.split())


def test_without_a_command_the_help_is_shown():
    """`scoregate` and `scoregate keys` alone show their help, with the code of wrong usage."""
    for arguments in ([], ["keys"]):
        result = command(*arguments)
        assert result.returncode == 2
        assert result.stderr.startswith("Usage: scoregate")


def test_help_loads_nothing_heavy():
    """Help does not wait for libraries that only some commands need; the control: `check` does load them."""
    heavy = "{'aiohttp', 'pydantic', 'yaml', 'cryptography', 'sqlalchemy', 'rich', 'jinja2', 'prometheus_client'}"
    script = (
        "import sys, gateway.cli\n"
        "try: gateway.cli.app(sys.argv[1:], prog_name='scoregate')\n"
        f"except SystemExit: print('loaded:', sorted({heavy} & set(sys.modules)))"
    )
    for arguments, loaded in (
        (["--help"], []),
        (["check", "--config", "none.yaml"], ["cryptography", "pydantic", "yaml"]),
    ):
        result = subprocess.run(
            [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=60, check=True
        )
        assert result.stdout.splitlines()[-1] == f"loaded: {loaded}"


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_scripts(shell):
    """Each shell gets a script that calls this command, and the words complete."""
    script = command(_SCOREGATE_COMPLETE=f"source_{shell}").stdout
    assert SHELLS[shell] in script
    assert "_SCOREGATE_COMPLETE" in script
    words = command(_SCOREGATE_COMPLETE="complete_bash", COMP_WORDS="scoregate services ", COMP_CWORD="2").stdout
    assert words.split() == ["list", "show", "create", "update", "delete"]


def test_against_a_gateway(ready, fake):
    """A whole command: found by the ready file, over TLS, answer on stdout."""
    result = command("score", "diabetes", "--data", '{"data": []}')
    assert (result.returncode, result.stdout) == (0, "[217.67978776218715, 224.78937091757172]\n")
    assert command("services", "show", "nobody").returncode == 4


def test_a_closed_pipe_is_no_traceback(ready, fake):
    """`scoregate … | head -0` ends quietly."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "services", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    process.wait(30)
    assert "Traceback" not in errors


def test_an_interrupt_is_no_traceback(ready, fake):
    """Ctrl-C while stdin is awaited: exit code 130, nothing on stderr but maybe an empty line."""
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, "score", "diabetes", "--data", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "reading\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors.strip()) == (130, "")


INTERRUPTIBLE = """
import io, sys
from gateway.cli import main

class Telling:
    def read(self):
        print("reading", flush=True)
        return stdin.buffer.read()

stdin = sys.stdin
sys.stdin = type("Stdin", (), {"buffer": Telling(), "isatty": lambda self: False})()
main()
"""
