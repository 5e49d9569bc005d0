"""Is the process alive, and can it do its work? For load balancers and orchestrators, inside the installation."""

from __future__ import annotations

import logging

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, JsonResponse
from kombu import Connection

from payouts.engine import heartbeats
from postgres.replica import routing

logger = logging.getLogger(__name__)

OK, DEGRADED, FAILED = "ok", "degraded", "failed"
# A process that has just begun has not looked at its replica yet.
REPLICA_PATIENCE_SECONDS = 0.3


def livez(request: HttpRequest) -> JsonResponse:
    """200 while the process answers at all. Asks nothing else: a restart would not mend a database."""
    del request
    return JsonResponse({"status": OK})


def readyz(request: HttpRequest) -> JsonResponse:
    """200 while requests can be served, 503 without the database.

    Without the broker payouts are accepted and the sweeper processes them, and without the sweeper workers do; so that
    is `degraded` and still 200: taking all web processes out of service would make an outage of it. Without its replica
    an installation that has one reads from the primary.
    """
    del request
    database = _database_answers()
    checks = {
        "database": OK if database else FAILED,
        "broker": OK if _broker_answers() else DEGRADED,
        "sweeper": OK if database and _sweeper_is_at_work() else DEGRADED,
    }
    more = {}
    if routing.is_configured():
        health = routing.health(patience_seconds=REPLICA_PATIENCE_SECONDS)
        checks["replica"] = OK if health.usable else DEGRADED
        more["replica_lag_seconds"] = health.lag_seconds
    status = next((state for state in (FAILED, DEGRADED) if state in checks.values()), OK)
    return JsonResponse({"status": status, "checks": checks, **more}, status=503 if status == FAILED else 200)


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (DatabaseError, InterfaceError) as error:
        logger.warning("health.database.failed", extra={"error": " ".join(str(error).split())})
        return False
    return True


def _sweeper_is_at_work() -> bool:
    try:
        age_seconds = heartbeats.age_seconds()
    except (DatabaseError, InterfaceError) as error:
        logger.warning("health.sweeper.failed", extra={"error": " ".join(str(error).split())})
        return False
    return age_seconds is not None and age_seconds <= heartbeats.STALE_SECONDS


def _broker_answers() -> bool:
    options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
    try:
        with Connection(
            settings.CELERY_BROKER_URL, connect_timeout=options["socket_connect_timeout"], transport_options=options
        ) as broker:
            # No pause between the attempts: the caller waits a second at most.
            broker.ensure_connection(
                max_retries=1, interval_start=0, interval_step=0, timeout=options["socket_connect_timeout"]
            )
    except Exception as error:  # noqa: BLE001 - each transport raises errors of its own
        logger.warning("health.broker.failed", extra={"error": type(error).__name__})
        return False
    return True
