"""The PostgreSQL server, as it was when it was last looked at."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now


class KnownServer(models.Model):
    """The server that payouts are sent from: one row. Another one may have lost some (payouts/engine/failover.py).

    The row is lost and restored together with the payouts.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    system_identifier = models.CharField(max_length=20)
    timeline = models.PositiveBigIntegerField()
    since = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(id=1), name="known_server_is_one"),
        ]

    def __str__(self) -> str:
        return f"timeline {self.timeline} of {self.system_identifier}"
