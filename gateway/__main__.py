"""The command `scoregate`, also `python -m gateway`. OpenSSL reads its configuration once, before anything else."""

from __future__ import annotations

import os
from pathlib import Path


def main() -> None:
    """Run the command line. Raises SystemExit with its code."""
    # OpenSSL reads this when `ssl` or `hashlib` is first imported. An operator's own file stays in force.
    os.environ.setdefault("OPENSSL_CONF", str(Path(__file__).with_name("openssl.cnf")))
    from gateway import cli  # noqa: PLC0415 - see above

    cli.main()


if __name__ == "__main__":
    main()
