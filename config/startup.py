"""Refuse to start with one sentence that names the setting, instead of a traceback or a process that cannot work."""

from __future__ import annotations

import sys
from typing import NoReturn

import django
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.db.utils import OperationalError


def require_settings() -> None:
    """Load the settings, or end the process with the sentence of the setting that is wrong."""
    try:
        _ = settings.SECRET_KEY
    except ImproperlyConfigured as error:
        refuse(str(error))


def require_checks() -> None:
    """Run Django's system checks, which only its own commands do, or end the process with the first that failed."""
    django.setup()
    failed = next((message for message in checks.run_checks() if message.is_serious()), None)
    if failed is not None:
        refuse(" ".join(filter(None, [failed.msg, failed.hint])))


def require_database() -> None:
    """Connect to PostgreSQL, or end the process with a sentence that names POSTGRES_HOST and its neighbours."""
    try:
        connection.ensure_connection()
    except OperationalError as error:
        refuse(database_problem(error))


def database_problem(error: OperationalError) -> str:
    """Say in one sentence why the database could not be reached and which variables to look at."""
    settings_dict = connection.settings_dict
    address = f"{settings_dict['HOST']}:{settings_dict['PORT']}/{settings_dict['NAME']}"
    reason = " ".join(str(error).split()) or type(error).__name__
    return (
        f"POSTGRES_HOST, POSTGRES_PORT, POSTGRES_DB, POSTGRES_USER or POSTGRES_PASSWORD: "
        f"the database {address} cannot be reached ({reason})."
    )


def refuse(sentence: str) -> NoReturn:
    """End the process with this sentence on stderr and exit code 1."""
    sys.stderr.write(f"payouts: {sentence}\n")
    raise SystemExit(1)
