"""What the engine keeps beside payouts (callbacks, circuits, heartbeats), and the columns that it needs of one.

The columns have constant defaults, so no table is rewritten, and processes of version 0.1 go on meanwhile: they leave
the new columns alone.
"""

from __future__ import annotations

from typing import ClassVar

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models
from django.db.migrations.operations.base import Operation

from postgres import migration_locks


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("accounts", "0001_initial"),
        ("payouts", "0003_groups"),
    ]

    operations: ClassVar[list[Operation]] = [
        migrations.RunPython(migration_locks.lock("payouts_payout"), migrations.RunPython.noop),
        migrations.AlterModelOptions(
            name="payout",
            options={
                "permissions": [
                    ("operate_payout", "Can retry, resolve and ask about payouts, and pause and resume the sending")
                ]
            },
        ),
        migrations.CreateModel(
            name="Heartbeat",
            fields=[
                ("process", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("beat_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.CreateModel(
            name="ProviderCallback",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("provider", models.CharField(max_length=32)),
                ("event_id", models.CharField(max_length=255)),
                ("body", models.BinaryField()),
                ("received_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("tried_at", models.DateTimeField(null=True)),
                ("applied_at", models.DateTimeField(null=True)),
                (
                    "result",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("applied", "Applied"),
                            ("known", "Known"),
                            ("contradicted", "Contradicted"),
                            ("no_payout", "No such payout"),
                            ("unreadable", "Unreadable"),
                        ],
                        max_length=12,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ProviderCircuit",
            fields=[
                ("provider", models.CharField(max_length=32, primary_key=True, serialize=False)),
                ("failures_count", models.PositiveIntegerField(default=0)),
                ("failed_payout_id", models.UUIDField(null=True)),
                ("opened_at", models.DateTimeField(null=True)),
                ("retry_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.AddField(
            model_name="payout",
            name="contradicted_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="payout",
            name="reference_number",
            field=models.PositiveSmallIntegerField(db_default=1, default=1),
        ),
        migrations.AddField(
            model_name="payout",
            name="rung_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="payout",
            name="turned_away_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddIndex(
            model_name="heartbeat",
            index=models.Index(fields=["beat_at"], name="heartbeat_newest"),
        ),
        migrations.AddField(
            model_name="providercallback",
            name="payout",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="callbacks",
                to="payouts.payout",
            ),
        ),
        migrations.AddConstraint(
            model_name="providercircuit",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("opened_at__isnull", True), ("retry_at__isnull", True)),
                    models.Q(("opened_at__isnull", False), ("retry_at__isnull", False)),
                    _connector="OR",
                ),
                name="provider_circuit_whole",
            ),
        ),
        migrations.AddIndex(
            model_name="providercallback",
            index=models.Index(
                condition=models.Q(("applied_at__isnull", True)), fields=["id"], name="provider_callback_waiting"
            ),
        ),
        migrations.AddIndex(
            model_name="providercallback",
            index=models.Index(
                condition=models.Q(("payout__isnull", False)),
                fields=["payout", "id"],
                name="provider_callback_of_payout",
            ),
        ),
        migrations.AddConstraint(
            model_name="providercallback",
            constraint=models.UniqueConstraint(fields=("provider", "event_id"), name="provider_callback_stored_once"),
        ),
        # The way back begins here.
        migrations.RunPython(migrations.RunPython.noop, migration_locks.lock("payouts_payout")),
    ]
