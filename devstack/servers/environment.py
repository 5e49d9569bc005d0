"""The environment in which the platform's processes run."""

from __future__ import annotations

import os
from collections.abc import Mapping

from devstack.processes import attach, ports

# Plain HTTP on the loopback interface. The caller's environment takes precedence.
_DEFAULTS = {
    "DJANGO_SETTINGS_MODULE": "config.settings",
    "DJANGO_DEBUG": "false",
    "DJANGO_ALLOWED_HOSTS": "localhost,127.0.0.1",
    "PAYOUTS_BEHIND_HTTPS": "false",
    "PAYOUTS_LOG_FORMAT": "console",
    "PAYOUTS_STATIC_FROM_SOURCE": "true",
}
# If one of these is set, the caller has chosen a live provider, or none.
_LIVE_PROVIDER = ("PAYOUTS_LIVE_PROVIDER", "PAYOUTS_HTTP_BANK_URL")
# The access to another bank. Limits such as the concurrency apply to any bank.
_BANK = (
    "PAYOUTS_HTTP_BANK_URL",
    "PAYOUTS_HTTP_BANK_ID",
    "PAYOUTS_HTTP_BANK_TOKEN",
    "PAYOUTS_HTTP_BANK_SECRET",
    "PAYOUTS_HTTP_BANK_CALLBACK_SECRET",
    "PAYOUTS_HTTP_BANK_CA_BUNDLE",
)
# The access to the replica of another database. The maximum lag applies to any replica.
_REPLICA = (
    "PAYOUTS_REPLICA_HOST",
    "PAYOUTS_REPLICA_PORT",
    "PAYOUTS_REPLICA_USER",
    "PAYOUTS_REPLICA_PASSWORD",
)
_ATTACHED_PREFIXES = ("POSTGRES_", "CELERY_", "DJANGO_", "PAYOUTS_")
# For one `createsuperuser` of the caller.
_NEVER_ATTACHED_PREFIX = "DJANGO_SUPERUSER_"


def for_processes(*, secret_key: str, state_directory: str) -> dict[str, str]:
    """Return the caller's environment with defaults, without the addresses of database and broker."""
    environment = dict(os.environ)
    for name, value in {**_DEFAULTS, "DJANGO_SECRET_KEY": secret_key}.items():
        if not attach.is_set(environment, name):
            environment[name] = value
    return {**environment, "PAYOUTS_STATE_DIR": state_directory, "PYTHONUNBUFFERED": "1"}


def with_database(environment: Mapping[str, str], database: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with this database and nothing of another one."""
    others = {f"{name}{suffix}" for name in _REPLICA for suffix in ("", "_FILE")}
    kept = {
        name: value for name, value in environment.items() if not name.startswith("POSTGRES_") and name not in others
    }
    return {**kept, **database}


def with_replica(environment: Mapping[str, str], *, port: int) -> dict[str, str]:
    """Return the environment with a replica, which has the users of its database."""
    return {**environment, "PAYOUTS_REPLICA_HOST": ports.LOOPBACK, "PAYOUTS_REPLICA_PORT": str(port)}


def with_broker(environment: Mapping[str, str], url: str) -> dict[str, str]:
    return {**environment, "CELERY_BROKER_URL": url}


def wants_bank(environment: Mapping[str, str]) -> bool:
    """Say whether live payouts go to a sandbox bank of this stack."""
    return not any(name in environment or f"{name}_FILE" in environment for name in _LIVE_PROVIDER)


def with_bank(environment: Mapping[str, str], *, url: str, secret: str, callback_secret: str) -> dict[str, str]:
    """Return the environment with this bank and no access to another one."""
    others = {f"{name}{suffix}" for name in _BANK for suffix in ("", "_FILE")}
    kept = {name: value for name, value in environment.items() if name not in others}
    return {
        **kept,
        "PAYOUTS_LIVE_PROVIDER": "http_bank",
        "PAYOUTS_HTTP_BANK_URL": url,
        # The bank keeps its book from one start to the next, on whatever port.
        "PAYOUTS_HTTP_BANK_ID": "sandbox-bank",
        "PAYOUTS_HTTP_BANK_SECRET": secret,
        "PAYOUTS_HTTP_BANK_CALLBACK_SECRET": callback_secret,
    }


def to_attach(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what another process needs to reach the same stack."""
    return {
        name: value
        for name, value in sorted(environment.items())
        if name.startswith(_ATTACHED_PREFIXES) and not name.startswith(_NEVER_ATTACHED_PREFIX)
    }
