"""Pauses: what is not sent until an operator resumes it."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from accounts.models import Merchant


class Pause(models.Model):
    """Nothing is sent while it lasts: for one merchant, through one provider, or (both empty) at all.

    Asking goes on, and so does what is under way.
    """

    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    provider = models.CharField(max_length=32, blank=True)
    reason = models.CharField(max_length=500)
    #: Who began it, such as `operator:<user name>`.
    actor = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)
    ended_by = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(merchant__isnull=True) | models.Q(provider=""), name="pause_has_one_scope"
            ),
            models.UniqueConstraint(
                "merchant",
                "provider",
                condition=models.Q(ended_at__isnull=True),
                nulls_distinct=False,
                name="pause_once_at_a_time",
            ),
        ]

    def __str__(self) -> str:
        return f"pause of {self.scope}"

    @property
    def scope(self) -> str:
        """What is paused, in words."""
        if self.merchant_id is not None:
            return f"merchant {self.merchant_id}"
        return f"provider {self.provider}" if self.provider else "everything"
