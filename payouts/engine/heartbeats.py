"""Is the sweeper at work? Nobody calls it, so it says so itself, in the database that it works on."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from payouts.models import Heartbeat

#: A round takes seconds, and two calls of a provider in it 60 more: after 120 s there is no sweeper any more.
STALE_SECONDS: Final = 60.0 + 2 * settings.PROVIDER_TIMEOUT_SECONDS
# Processes come and go, under new names. Those that are gone are forgotten after a day.
_FORGOTTEN: Final = timedelta(days=1)


def beat(process: str) -> None:
    """Note that this process is at work."""
    Heartbeat.objects.bulk_create(
        [Heartbeat(process=process, beat_at=Now())],
        update_conflicts=True,
        unique_fields=["process"],
        update_fields=["beat_at"],
    )
    Heartbeat.objects.filter(beat_at__lt=Now() - _FORGOTTEN).delete()


def age_seconds(prefix: str = "") -> float | None:
    """Return the seconds since the newest beat of the processes whose name begins so; None where there was none."""
    age = models.ExpressionWrapper(Now() - models.F("beat_at"), output_field=models.DurationField())
    beats = Heartbeat.objects.filter(process__startswith=prefix).order_by("-beat_at")
    newest = beats.annotate(age=age).values_list("age", flat=True).first()
    return newest.total_seconds() if newest is not None else None
