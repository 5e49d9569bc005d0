"""Times until which a payout may be sent, with their index, made CONCURRENTLY.

The version before inserts payouts without them: it goes on. The sweeper of this version gives each payout that is still
pending its time. Whatever interrupts the migration, it can be run again.
"""

from __future__ import annotations

import importlib
from typing import ClassVar, Final

from django.db import migrations, models
from django.db.migrations.operations.base import Operation
from django.db.models.functions import Now

_engine = importlib.import_module("payouts.migrations.0006_indexes")
_resolutions = importlib.import_module("payouts.migrations.0016_resolutions")

COLUMNS: Final = """
ALTER TABLE payouts_payout
    ADD COLUMN IF NOT EXISTS expires_at timestamptz NULL,
    ADD COLUMN IF NOT EXISTS give_up_at timestamptz NOT NULL DEFAULT statement_timestamp()
"""
DROP_COLUMNS: Final = "ALTER TABLE payouts_payout DROP COLUMN expires_at, DROP COLUMN give_up_at"


class Migration(migrations.Migration):
    atomic = False

    dependencies: ClassVar = [("payouts", "0017_lanes")]

    operations: ClassVar[list[Operation]] = [
        migrations.SeparateDatabaseAndState(
            [
                migrations.RunPython(
                    _resolutions.alter("payouts_payout", COLUMNS), _resolutions.alter("payouts_payout", DROP_COLUMNS)
                )
            ],
            [
                migrations.AddField("payout", "expires_at", models.DateTimeField(null=True)),
                migrations.AddField("payout", "give_up_at", models.DateTimeField(db_default=Now())),
            ],
        ),
        migrations.RunSQL(
            _engine.create("payout_to_give_up", "(give_up_at) WHERE status = 'pending' AND contradicted_at IS NULL"),
            _engine.drop("payout_to_give_up"),
            state_operations=[
                migrations.AddIndex(
                    "payout",
                    models.Index(
                        fields=["give_up_at"],
                        condition=models.Q(status="pending", contradicted_at__isnull=True),
                        name="payout_to_give_up",
                    ),
                ),
            ],
        ),
    ]
