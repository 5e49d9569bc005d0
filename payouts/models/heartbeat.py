"""Heartbeats of the processes that run all the time."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from payouts import limits


class Heartbeat(models.Model):
    """The last heartbeat of a process that receives no calls."""

    #: Such as `sweeper:<host>:<pid>`.
    process = models.CharField(max_length=limits.PROCESS_LENGTH_MAX, primary_key=True)
    beat_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes: ClassVar = [
            # The newest beat of all.
            models.Index(fields=["beat_at"], name="heartbeat_newest"),
        ]

    def __str__(self) -> str:
        return self.process
