"""Writes the next step, from what `store.tables` has and the steps so far do not make."""

from __future__ import annotations

import argparse
import tempfile

from alembic import command
from alembic.script import ScriptDirectory

from gateway.store.database import connect
from gateway.store.migrate import configuration, upgrade


def write_step(message: str) -> None:
    """Write the file of the new step into `versions/`, and print its name."""
    config = configuration()
    newest = ScriptDirectory.from_config(config).get_current_head() or "0"
    with tempfile.TemporaryDirectory() as scratch:
        database = connect(f"sqlite:///{scratch}/scratch.db")
        upgrade(database)
        with database.transaction() as connection:
            config.attributes["connection"] = connection
            command.revision(config, message, autogenerate=True, rev_id=f"{int(newest) + 1:04}")
        database.engine.dispose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("message", help="what changes, in a few words")
    write_step(parser.parse_args().message)
