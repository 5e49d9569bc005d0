"""Pauses, which stop sending until an operator resumes it."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from django.db import models
from django.db.models.functions import Now

from accounts.models import Merchant
from payouts import limits


class PauseQuerySet(models.QuerySet["Pause"]):
    def active(self) -> Self:
        """Return the pauses that nobody has ended."""
        return self.filter(ended_at__isnull=True)

    def covering(self, merchant: Any, provider: Any) -> Self:
        """Return the pauses that hold back payouts of this merchant through this provider. Each may be an OuterRef."""
        everything = models.Q(merchant__isnull=True, provider="")
        return self.filter(models.Q(merchant=merchant) | models.Q(provider=provider) | everything)


class Pause(models.Model):
    """Stops all sends for one merchant, through one provider, or (both empty) of everything.

    Asking goes on, and calls under way finish.
    """

    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    provider = models.CharField(max_length=limits.PROVIDER_LENGTH_MAX, blank=True)
    reason = models.CharField(max_length=limits.MESSAGE_LENGTH_MAX)
    #: Actor, such as `operator:<user name>`.
    actor = models.CharField(max_length=limits.ACTOR_LENGTH_MAX)
    created_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)
    ended_by = models.CharField(max_length=limits.ACTOR_LENGTH_MAX, blank=True)

    objects = PauseQuerySet.as_manager()

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
        """The paused scope in words."""
        if self.merchant_id is not None:
            return f"merchant {self.merchant_id}"
        return f"provider {self.provider}" if self.provider else "everything"
