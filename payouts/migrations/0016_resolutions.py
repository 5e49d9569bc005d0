"""Operators record the truth: the guard lets failed and canceled payouts become paid, and callbacks have alarms.

Tables are held for an instant each, and indexes are made CONCURRENTLY. Whatever interrupts the migration, it can be run
again.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django.db import connection, migrations, models, transaction
from django.db.migrations.operations.base import Operation

from payouts.migrations import _completion, _resolution
from postgres import migration_locks

COLUMNS: Final = """
ALTER TABLE payouts_providercallback
    ADD COLUMN IF NOT EXISTS alarmed_at timestamptz NULL,
    ADD COLUMN IF NOT EXISTS cleared_at timestamptz NULL,
    ADD COLUMN IF NOT EXISTS cleared_by varchar(200) NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS cleared_reason varchar(500) NOT NULL DEFAULT ''
"""
DROP_COLUMNS: Final = """
ALTER TABLE payouts_providercallback
    DROP COLUMN alarmed_at, DROP COLUMN cleared_at, DROP COLUMN cleared_by, DROP COLUMN cleared_reason
"""

# Deleted as failed, and then resolved as paid: the merchant has to see that the money moved.
LIST_AGAIN: Final = """
UPDATE payouts_payout SET deleted_at = NULL, version = version + 1, updated_at = statement_timestamp()
WHERE deleted_at IS NOT NULL AND status IN ('paid', 'returned')
"""
# From now on each is asked about every 6 h. Spread, so that the provider is not asked about all of them at once.
ASK_AGAIN: Final = """
UPDATE payouts_payout SET due_at = statement_timestamp() + random() * interval '6 hours'
WHERE status = 'requires_attention' AND due_at IS NULL
"""


def alter(table: str, statement: str) -> Any:
    """Return a step that holds the table for this statement, which is quick."""

    def step(apps: Any, schema_editor: Any) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            migration_locks.lock(table)(apps, schema_editor)
            cursor.execute(statement)

    return step


def drop(name: str) -> str:
    return f'DROP INDEX CONCURRENTLY IF EXISTS "{name}"'


def create(name: str, definition: str) -> tuple[str, str]:
    return drop(name), f'CREATE INDEX CONCURRENTLY "{name}" ON {definition}'


class Migration(migrations.Migration):
    atomic = False

    dependencies: ClassVar = [("payouts", "0015_references")]

    operations: ClassVar[list[Operation]] = [
        migrations.RunPython(alter("payouts_payout", _resolution.PAYOUT), alter("payouts_payout", _completion.PAYOUT)),
        migrations.SeparateDatabaseAndState(
            [
                migrations.RunPython(
                    alter("payouts_providercallback", COLUMNS), alter("payouts_providercallback", DROP_COLUMNS)
                )
            ],
            [
                migrations.AddField("providercallback", "alarmed_at", models.DateTimeField(null=True)),
                migrations.AddField("providercallback", "cleared_at", models.DateTimeField(null=True)),
                migrations.AddField(
                    "providercallback", "cleared_by", models.CharField(blank=True, db_default="", max_length=200)
                ),
                migrations.AddField(
                    "providercallback", "cleared_reason", models.CharField(blank=True, db_default="", max_length=500)
                ),
            ],
        ),
        migrations.RunSQL(
            create("provider_callback_alarming", "payouts_providercallback (alarmed_at) WHERE alarmed_at IS NOT NULL"),
            drop("provider_callback_alarming"),
            state_operations=[
                migrations.AddIndex(
                    "providercallback",
                    models.Index(
                        fields=["alarmed_at"],
                        condition=models.Q(alarmed_at__isnull=False),
                        name="provider_callback_alarming",
                    ),
                ),
            ],
        ),
        migrations.RunSQL(
            create("payout_unknown", "payouts_payout (first_sent_at) WHERE status = 'unknown'"),
            drop("payout_unknown"),
            state_operations=[
                migrations.AddIndex(
                    "payout",
                    models.Index(fields=["first_sent_at"], condition=models.Q(status="unknown"), name="payout_unknown"),
                ),
            ],
        ),
        migrations.RunSQL(
            create("payout_submitted", "payouts_payout (provider, first_sent_at) WHERE status = 'submitted'"),
            drop("payout_submitted"),
            state_operations=[
                migrations.AddIndex(
                    "payout",
                    models.Index(
                        fields=["provider", "first_sent_at"],
                        condition=models.Q(status="submitted"),
                        name="payout_submitted",
                    ),
                ),
            ],
        ),
        migrations.RunSQL(LIST_AGAIN, migrations.RunSQL.noop),
        migrations.RunSQL(ASK_AGAIN, migrations.RunSQL.noop),
    ]
