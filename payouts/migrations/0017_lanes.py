"""Indexes of the lanes of due payouts, made CONCURRENTLY beside the requests that go on.

The columns `rung_at` and `turned_away_at` of a payout, with the index of the latter, leave the models alone. The
previous version still reads and writes them while it is being replaced. A later release drops them.
Whatever interrupts this migration, it can be run again: each step first removes what an interrupted one has left.
"""

from __future__ import annotations

import importlib
from typing import ClassVar

from django.db import migrations, models
from django.db.migrations.operations.base import Operation

_engine = importlib.import_module("payouts.migrations.0006_indexes")


class Migration(migrations.Migration):
    atomic = False

    dependencies: ClassVar = [("payouts", "0016_resolutions")]

    operations: ClassVar[list[Operation]] = [
        migrations.RunSQL(
            _engine.create(
                "payout_lane_of_sends",
                "(provider, mode, merchant_id, due_at) WHERE status = 'pending' AND contradicted_at IS NULL",
            ),
            _engine.drop("payout_lane_of_sends"),
            state_operations=[
                migrations.AddIndex(
                    "payout",
                    models.Index(
                        fields=["provider", "mode", "merchant", "due_at"],
                        condition=models.Q(status="pending", contradicted_at__isnull=True),
                        name="payout_lane_of_sends",
                    ),
                ),
            ],
        ),
        migrations.RunSQL(
            _engine.create(
                "payout_lane_of_asks",
                "(provider, mode, merchant_id, due_at) WHERE due_at IS NOT NULL"
                " AND status IN ('unknown', 'submitted', 'paid', 'requires_attention')",
            ),
            _engine.drop("payout_lane_of_asks"),
            state_operations=[
                migrations.AddIndex(
                    "payout",
                    models.Index(
                        fields=["provider", "mode", "merchant", "due_at"],
                        condition=models.Q(
                            status__in=["unknown", "submitted", "paid", "requires_attention"], due_at__isnull=False
                        ),
                        name="payout_lane_of_asks",
                    ),
                ),
            ],
        ),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RemoveIndex("payout", "payout_turned_away"),
                migrations.RemoveField("payout", "rung_at"),
                migrations.RemoveField("payout", "turned_away_at"),
            ],
        ),
    ]
