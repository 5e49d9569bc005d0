"""Make the tables, the merchants and their keys, in one process (each start of Django takes a second).

    python -m tests.storm.prepare FILE MERCHANT ...

writes the keys to the file, by merchant and mode: "acme/live".
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import django
from django.core.management import call_command

from devstack.processes import state


def main(file: str, *merchants: str) -> None:
    django.setup()
    _command("migrate", "--noinput", "--verbosity", "0")
    state.write_private(Path(file), json.dumps(_keys_of(merchants)))


def _keys_of(merchants: Sequence[str]) -> dict[str, str]:
    for merchant in merchants:
        _command("create_merchant", merchant)
    return {
        f"{merchant}/{mode}": _command("issue_api_key", merchant, "--mode", mode)
        for merchant in merchants
        for mode in ("live", "test")
    }


def _command(name: str, *arguments: str) -> str:
    """Run a management command and return what it printed for scripts."""
    with io.StringIO() as printed:
        call_command(name, *arguments, stdout=printed)
        return printed.getvalue().strip()


if __name__ == "__main__":
    main(*sys.argv[1:])
