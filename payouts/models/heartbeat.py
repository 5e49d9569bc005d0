"""Signs of life of the processes that run for ever."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now


class Heartbeat(models.Model):
    """When a process that nobody calls was last seen at work."""

    #: Such as `sweeper:<host>:<pid>`.
    process = models.CharField(max_length=255, primary_key=True)
    beat_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes: ClassVar = [
            # The newest beat of all.
            models.Index(fields=["beat_at"], name="heartbeat_newest"),
        ]

    def __str__(self) -> str:
        return self.process
