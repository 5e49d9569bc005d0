"""Create the first merchant, its key and the first admin. A separate process, because it needs Django."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from devstack.processes import state

MERCHANT = "demo"
ADMIN = "admin"


@dataclass(frozen=True)
class FirstStart:
    """Shown once and not stored in clear text. No password if the admin already existed."""

    merchant_id: str
    api_key: str
    admin_password: str | None


def take(path: Path) -> FirstStart:
    """Read the file of the process and remove it."""
    text = path.read_text(encoding="utf-8")
    path.unlink()
    return FirstStart(**json.loads(text))


def main() -> None:
    """Create what is missing and write it to the file that the launcher names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--own-database", action="store_true")
    parser.add_argument("answer", type=Path)
    options = parser.parse_args()

    import django  # noqa: PLC0415 - the launcher imports this module without Django

    django.setup()
    merchant_id = _command("create_merchant", MERCHANT, "--if-missing")
    result = FirstStart(
        merchant_id=merchant_id,
        api_key=_command("issue_api_key", merchant_id, "--mode", "test", "--name", "First key"),
        admin_password=_create_admin(may_reset=options.own_database),
    )
    state.write_private(options.answer, json.dumps(asdict(result)))


def _create_admin(*, may_reset: bool) -> str | None:
    """Create the admin, or reset the password of one that an interrupted first start created and never showed.

    Never reset it in an external database: the admin may be in use.
    """
    from django.contrib.auth import get_user_model  # noqa: PLC0415 - as above

    password = secrets.token_urlsafe(12)
    existing = get_user_model().objects.filter(username=ADMIN).first()
    if existing is None:
        os.environ["DJANGO_SUPERUSER_PASSWORD"] = password
        _command("createsuperuser", "--noinput", "--username", ADMIN, "--email", "admin@example.com")
        return password
    if not may_reset:
        return None
    existing.set_password(password)
    existing.save(update_fields=["password"])
    return password


def _command(name: str, *arguments: str) -> str:
    """Run a management command and return its output."""
    from django.core.management import call_command  # noqa: PLC0415 - as above

    with io.StringIO() as printed, contextlib.redirect_stdout(printed):
        call_command(name, *arguments, stdout=printed)
        return printed.getvalue().strip()


if __name__ == "__main__":
    main()
