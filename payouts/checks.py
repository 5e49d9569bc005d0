"""System checks at start: can this installation pay out?"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DEFAULT_DB_ALIAS, connections

from payouts import provider_settings
from payouts.providers import registry
from payouts.providers.http_bank.provider import Configuration
from postgres import incarnations, time_outs

#: 128 bits in base64, rounded down.
SECRET_LENGTH_MIN: Final = 20


@register(Tags.compatibility)
def check_http_bank(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Refuse settings of the bank that contradict each other or lack something."""
    del app_configs
    try:
        bank = provider_settings.configuration()
    except ValueError as error:
        return [Error(str(error), hint="docs/http-bank.md explains the settings of the bank.", id="payouts.E002")]
    return list(_warnings(bank)) if bank is not None else []


def _warnings(bank: Configuration) -> Iterator[CheckMessage]:
    if _is_read_by_others(bank.base_url):
        yield checks.Warning(
            "PAYOUTS_HTTP_BANK_URL is plain HTTP to another machine: recipients can be read on the way.",
            hint="Use https://. Plain HTTP is right for a gateway on the same machine.",
            id="payouts.W002",
        )
    secrets = [bank.signing_secret, bank.bearer_token, *bank.callback_secrets]
    if any(0 < len(secret.removeprefix("whsec_")) < SECRET_LENGTH_MIN for secret in secrets):
        yield checks.Warning(
            f"A secret of PAYOUTS_HTTP_BANK_... has fewer than {SECRET_LENGTH_MIN} characters: it can be guessed.",
            hint="Make one with `python3 -c 'import secrets; print(secrets.token_urlsafe(32))'`.",
            id="payouts.W003",
        )


def _is_read_by_others(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.scheme == "http" and host not in {"localhost", "::1"} and not host.startswith("127.")


@register(Tags.compatibility)
def check_live_provider(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Refuse a PAYOUTS_LIVE_PROVIDER that this version does not have."""
    del app_configs
    if settings.LIVE_PROVIDER == "sandbox":
        return [
            checks.Warning(
                "PAYOUTS_LIVE_PROVIDER is the sandbox: live payouts are reported as paid, and no money moves.",
                hint="Right for a rehearsal, and for nothing else.",
                id="payouts.W001",
            )
        ]
    if not settings.LIVE_PROVIDER or settings.LIVE_PROVIDER in registry.PROVIDERS:
        return []
    if settings.LIVE_PROVIDER == "http_bank":
        return [
            Error(
                "PAYOUTS_LIVE_PROVIDER is http_bank, and there is no bank.",
                hint="Set PAYOUTS_HTTP_BANK_URL and one of PAYOUTS_HTTP_BANK_SECRET and PAYOUTS_HTTP_BANK_TOKEN.",
                id="payouts.E003",
            )
        ]
    return [
        Error(
            f"PAYOUTS_LIVE_PROVIDER names {settings.LIVE_PROVIDER!r}, which is no provider of this version.",
            hint=f"Use one of: {', '.join(sorted(registry.PROVIDERS))}; or leave it empty to refuse live payouts.",
            id="payouts.E001",
        )
    ]


@register(Tags.database)
def check_polling(
    app_configs: Sequence[AppConfig] | None, databases: Collection[str] | None = None, **_: Any
) -> list[CheckMessage]:
    """Warn if the database hides open transactions: merchants would get the same changes again and again."""
    del app_configs
    if DEFAULT_DB_ALIAS not in (databases or ()):
        return []
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(
            "SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'), current_setting('track_activities')::bool"
        )
        sees_all, tracked = cursor.fetchone()
    if sees_all and tracked:
        return []
    return [
        checks.Warning(
            "The database hides open transactions of other roles: next_updated_after stands still while there are any.",
            hint="GRANT pg_read_all_stats TO the role of POSTGRES_USER, and leave track_activities on.",
            id="payouts.W005",
        )
    ]


@register(Tags.database)
def check_durability(
    app_configs: Sequence[AppConfig] | None, databases: Collection[str] | None = None, **_: Any
) -> list[CheckMessage]:
    """Warn if PostgreSQL may lose a commit that it has confirmed: the payout would be gone, its payment would not."""
    del app_configs
    if DEFAULT_DB_ALIAS not in (databases or ()):
        return []
    return list(_losses(incarnations.read_durability()))


def _losses(server: incarnations.Durability) -> Iterator[CheckMessage]:
    waits_for_standbys = bool(server.synchronous_standby_names)
    if server.standbys_count and not waits_for_standbys:
        yield checks.Warning(
            "PostgreSQL has standbys and waits for none of them: if one is promoted, the last payouts are lost.",
            hint="Set synchronous_standby_names, or promote none but as docs/operations.md says.",
            id="payouts.W006",
        )
    if server.synchronous_commit == "off" or (waits_for_standbys and server.synchronous_commit == "local"):
        yield checks.Warning(
            f"synchronous_commit is {server.synchronous_commit}: PostgreSQL confirms payouts that it may lose.",
            hint="Set synchronous_commit to on.",
            id="payouts.W007",
        )
    if not server.fsync:
        yield checks.Warning(
            "fsync is off: a power failure may lose payouts, or destroy the database.",
            hint="Set fsync to on.",
            id="payouts.W008",
        )


@register(Tags.database)
def check_time_outs(
    app_configs: Sequence[AppConfig] | None, databases: Collection[str] | None = None, **_: Any
) -> list[CheckMessage]:
    """Warn if the time-outs of statements and locks do not reach PostgreSQL."""
    del app_configs
    if DEFAULT_DB_ALIAS not in (databases or ()):
        return []
    database = connections[DEFAULT_DB_ALIAS]
    with database.cursor() as cursor:
        cursor.execute("SELECT current_setting('lock_timeout'), current_setting('statement_timeout')")
        is_set_for_the_role = "0" not in cursor.fetchone()
    if is_set_for_the_role or time_outs.are_passed_on(database.get_connection_params()):
        return []
    return [
        checks.Warning(
            "A pooler drops the start-up options (PGOPTIONS): statements outside of transactions have no time-outs.",
            hint="ALTER ROLE the role of POSTGRES_USER SET lock_timeout = '5s', and so on (docs/operations.md).",
            id="payouts.W009",
        )
    ]


@register(Tags.compatibility)
def check_replica(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Warn if the replica is the primary itself: it would never be used."""
    del app_configs
    primary, replica = (settings.DATABASES.get(alias) for alias in ("default", "replica"))
    if primary is None or replica is None or not _is_same_server(primary, replica):
        return []
    return [
        checks.Warning(
            "PAYOUTS_REPLICA_HOST and PAYOUTS_REPLICA_PORT name the primary: it is no replica, and is not used as one.",
            hint="Name a standby that follows the primary, or leave PAYOUTS_REPLICA_HOST empty.",
            id="payouts.W004",
        )
    ]


def _is_same_server(primary: dict[str, Any], replica: dict[str, Any]) -> bool:
    return (primary["HOST"], int(primary["PORT"])) == (replica["HOST"], int(replica["PORT"]))
