"""Heartbeats of the sweeper. It receives no calls, so it reports that it is alive, in the database."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from payouts.models import Heartbeat

#: A round takes seconds, and two calls of a provider 60 more. After 120 s the sweeper counts as dead.
STALE_SECONDS: Final = 60.0 + 2 * settings.PROVIDER_TIMEOUT_SECONDS
# Each process has a new name, so beats of dead processes are deleted after a day.
_FORGOTTEN: Final = timedelta(days=1)


def beat(process: str) -> None:
    """Record that this process is alive."""
    Heartbeat.objects.bulk_create(
        [Heartbeat(process=process, beat_at=Now())],
        update_conflicts=True,
        unique_fields=["process"],
        update_fields=["beat_at"],
    )
    Heartbeat.objects.filter(beat_at__lt=Now() - _FORGOTTEN).delete()


def age_seconds(prefix: str = "") -> float | None:
    """Return the age of the newest beat of the processes with this prefix, in seconds, or None."""
    age = models.ExpressionWrapper(Now() - models.F("beat_at"), output_field=models.DurationField())
    beats = Heartbeat.objects.filter(process__startswith=prefix).order_by("-beat_at")
    newest = beats.annotate(age=age).values_list("age", flat=True).first()
    return newest.total_seconds() if newest is not None else None
