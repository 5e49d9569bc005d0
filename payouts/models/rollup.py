"""What is kept of days that are over: counts and sums of a merchant's payouts. payouts/summaries/rollup.py keeps it
right.

The rows are written by SQL alone. They refer to merchants without a foreign key: what they say can be made again from
the payouts at any time, so they must never stand in anybody's way.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models

#: A sum of more payouts than there will ever be, each below 10^12 with four decimals.
SUM_DIGITS_MAX = 34


class RollupCell(models.Model):
    """Count, sum and extremes of one merchant's payouts of one day that have status, currency and provider in common.

    Where there are none there is no cell. Payouts that the merchant has deleted do not count.
    """

    # The primary key is the index that serves the reads: all cells of a merchant and mode, by day.
    pk = models.CompositePrimaryKey("merchant_id", "mode", "day", "status", "currency", "provider")
    merchant_id = models.UUIDField()
    mode = models.CharField(max_length=4)
    #: On which the payouts were created, in UTC.
    day = models.DateField()
    status = models.CharField(max_length=24)
    currency = models.CharField(max_length=3)
    provider = models.CharField(max_length=32)
    count = models.BigIntegerField()
    amount = models.DecimalField(max_digits=SUM_DIGITS_MAX, decimal_places=4)
    amount_min = models.DecimalField(max_digits=16, decimal_places=4)
    amount_max = models.DecimalField(max_digits=16, decimal_places=4)

    def __str__(self) -> str:
        return f"{self.count} {self.status} of {self.day} in {self.currency}"


class RollupMark(models.Model):
    """Says that the cells of a day are out of date. Written by a trigger, with each change of a payout of a past day.

    Marks are only ever added, so nobody waits for anybody; whoever makes the cells anew deletes those that it saw.
    """

    merchant_id = models.UUIDField()
    mode = models.CharField(max_length=4)
    day = models.DateField()

    class Meta:
        indexes: ClassVar = [
            # Each summary: the days of a merchant and mode that are out of date. And to delete them.
            models.Index(fields=["merchant_id", "mode", "day"], name="rollup_mark_of_day"),
        ]

    def __str__(self) -> str:
        return f"{self.merchant_id} {self.mode} {self.day}"


class RollupState(models.Model):
    """How far the roll-up has come: one row, or none while no day is closed."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    #: The days before this one, and only they, are told by their cells (unless there is a mark).
    closed_before = models.DateField()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(id=1), name="rollup_state_is_one"),
        ]

    def __str__(self) -> str:
        return f"closed before {self.closed_before}"
