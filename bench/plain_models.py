"""The model of the worker that people write themselves (bench/plain_worker.py)."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class PlainPayout(models.Model):
    id = models.UUIDField(primary_key=True)
    amount = models.DecimalField(max_digits=16, decimal_places=4)
    account = models.TextField()
    status = models.TextField()
    updated_at = models.DateTimeField()

    objects: ClassVar[models.Manager[PlainPayout]] = models.Manager()

    class Meta:
        app_label: ClassVar = "payouts"
        managed = False
        db_table = "bench_plain"

    def __str__(self) -> str:
        return str(self.id)
