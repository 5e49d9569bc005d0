"""Circuits of single lanes, and what a provider's circuit knows of merchants.

Each new column has a default in the database: the previous version goes on to write rows without them.
"""

from __future__ import annotations

from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models
from django.db.migrations.operations.base import Operation

from postgres import migration_locks


class Migration(migrations.Migration):
    dependencies: ClassVar = [("payouts", "0018_deadlines")]

    operations: ClassVar[list[Operation]] = [
        migrations.RunPython(migration_locks.lock("payouts_providercircuit"), migrations.RunPython.noop),
        migrations.AddField("providercircuit", "failed_merchant_id", models.UUIDField(null=True)),
        migrations.AddField("providercircuit", "failures_of_each", models.JSONField(db_default={}, default=dict)),
        migrations.AddField(
            "providercircuit", "is_of_one_merchant", models.BooleanField(db_default=False, default=False)
        ),
        migrations.AddField("providercircuit", "sends_max", models.PositiveIntegerField(null=True)),
        migrations.AddField("providercircuit", "trials_count", models.PositiveIntegerField(db_default=0, default=0)),
        migrations.CreateModel(
            name="LaneCircuit",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("provider", models.CharField(max_length=32)),
                ("mode", models.CharField(choices=[("live", "Live"), ("test", "Test")], max_length=4)),
                ("failures_count", models.PositiveIntegerField(default=0)),
                ("failed_payout_id", models.UUIDField(null=True)),
                ("opened_at", models.DateTimeField(null=True)),
                ("retry_at", models.DateTimeField(null=True)),
                (
                    "merchant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.merchant",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("provider", "mode", "merchant"), name="lane_circuit_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("opened_at__isnull", True), ("retry_at__isnull", True)),
                            models.Q(("opened_at__isnull", False), ("retry_at__isnull", False)),
                            _connector="OR",
                        ),
                        name="lane_circuit_whole",
                    ),
                ],
            },
        ),
    ]
