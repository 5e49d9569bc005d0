#!/usr/bin/env python
"""Django's command line. While the stack of `make run` is up, it finds that stack's database and broker by itself."""

from __future__ import annotations

import os
import sys
from importlib import util

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db.utils import OperationalError


def main() -> None:
    """Run the command; a setting that is wrong or a database that does not answer is one sentence."""
    # The container image is without devstack: there the environment says everything.
    attached = True
    if util.find_spec("devstack"):
        from devstack.processes import attach

        attached = attach.attach(os.environ)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        _refuse(str(error) if attached else f"{error} Or start a stack with `make run`, which manage.py then finds.")
    except OperationalError as error:
        if not _is_unreachable(error):
            raise
        from config import startup

        _refuse(startup.database_problem(error))


def _is_unreachable(error: OperationalError) -> bool:
    """A server that was reached and refuses a statement says why by an SQLSTATE; one out of reach has none."""
    return getattr(error.__cause__, "sqlstate", None) is None


def _refuse(sentence: str) -> None:
    sys.stderr.write(f"payouts: {sentence}\n")
    raise SystemExit(1)


if __name__ == "__main__":
    main()
