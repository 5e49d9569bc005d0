"""The daily roll-up, and the trigger that tells which of its days are out of date.

It begins empty, and the sweeper fills it. CREATE TRIGGER waits for whoever is writing payouts, so no change goes unseen
by it once a day can be closed.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models
from django.db.migrations.operations.base import Operation

from postgres import migration_locks

# A payout of today costs nothing: its day is closed only once every transaction has ended that found it to be today
# (Note [Closing a day] in payouts/summaries/rollup.py). The columns are those that a cell is made of; that of another
# day must be told as well.
TRIGGERS = """
CREATE FUNCTION payouts_mark_rollup() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO payouts_rollupmark (merchant_id, mode, day)
    VALUES (NEW.merchant_id, NEW.mode, (NEW.created_at AT TIME ZONE 'UTC')::date);
    IF TG_OP = 'UPDATE' AND OLD.created_at IS DISTINCT FROM NEW.created_at THEN
        INSERT INTO payouts_rollupmark (merchant_id, mode, day)
        VALUES (OLD.merchant_id, OLD.mode, (OLD.created_at AT TIME ZONE 'UTC')::date);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER payouts_mark_rollup_inserted AFTER INSERT ON payouts_payout
    FOR EACH ROW
    WHEN (NEW.created_at < date_trunc('day', clock_timestamp(), 'UTC'))
    EXECUTE FUNCTION payouts_mark_rollup();

CREATE TRIGGER payouts_mark_rollup_updated AFTER UPDATE ON payouts_payout
    FOR EACH ROW
    WHEN (
        LEAST(OLD.created_at, NEW.created_at) < date_trunc('day', clock_timestamp(), 'UTC')
        AND (OLD.status, OLD.amount, OLD.currency, OLD.provider, OLD.deleted_at IS NULL, OLD.created_at)
            IS DISTINCT FROM
            (NEW.status, NEW.amount, NEW.currency, NEW.provider, NEW.deleted_at IS NULL, NEW.created_at)
    )
    EXECUTE FUNCTION payouts_mark_rollup();
"""

UNDO_TRIGGERS = """
DROP TRIGGER payouts_mark_rollup_updated ON payouts_payout;
DROP TRIGGER payouts_mark_rollup_inserted ON payouts_payout;
DROP FUNCTION payouts_mark_rollup();
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("payouts", "0008_report_indexes")]

    operations: ClassVar[list[Operation]] = [
        migrations.CreateModel(
            name="RollupCell",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "merchant_id",
                        "mode",
                        "day",
                        "status",
                        "currency",
                        "provider",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("merchant_id", models.UUIDField()),
                ("mode", models.CharField(max_length=4)),
                ("day", models.DateField()),
                ("status", models.CharField(max_length=24)),
                ("currency", models.CharField(max_length=3)),
                ("provider", models.CharField(max_length=32)),
                ("count", models.BigIntegerField()),
                ("amount", models.DecimalField(decimal_places=4, max_digits=34)),
                ("amount_min", models.DecimalField(decimal_places=4, max_digits=16)),
                ("amount_max", models.DecimalField(decimal_places=4, max_digits=16)),
            ],
        ),
        migrations.CreateModel(
            name="RollupMark",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("merchant_id", models.UUIDField()),
                ("mode", models.CharField(max_length=4)),
                ("day", models.DateField()),
            ],
            options={
                "indexes": [models.Index(fields=["merchant_id", "mode", "day"], name="rollup_mark_of_day")],
            },
        ),
        migrations.CreateModel(
            name="RollupState",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("closed_before", models.DateField()),
            ],
            options={
                "constraints": [models.CheckConstraint(condition=models.Q(("id", 1)), name="rollup_state_is_one")],
            },
        ),
        # Last, so that payouts are held up for no longer than it takes.
        migrations.RunPython(migration_locks.lock("payouts_payout"), migrations.RunPython.noop),
        migrations.RunSQL(TRIGGERS, UNDO_TRIGGERS),
        # The way back begins here.
        migrations.RunPython(migrations.RunPython.noop, migration_locks.lock("payouts_payout")),
    ]
