"""Make the tables, the merchants and a live key for each, in one process (each start of Django takes a second).

    python -m tests.storm.prepare FILE MERCHANT ...

writes the keys to the file, by merchant.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import django
from django.core.management import call_command

from devstack.processes import state


def main(file: str, *merchants: str) -> None:
    django.setup()
    _command("migrate", "--noinput", "--verbosity", "0")
    state.write_private(Path(file), json.dumps({merchant: _key_of(merchant) for merchant in merchants}))


def _key_of(merchant: str) -> str:
    _command("create_merchant", merchant)
    return _command("issue_api_key", merchant, "--mode", "live")


def _command(name: str, *arguments: str) -> str:
    """Run a management command and return what it printed for scripts."""
    with io.StringIO() as printed:
        call_command(name, *arguments, stdout=printed)
        return printed.getvalue().strip()


if __name__ == "__main__":
    main(*sys.argv[1:])
