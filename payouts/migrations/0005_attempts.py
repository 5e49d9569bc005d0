"""Attempts of new kinds, and a guard that keeps all of them as they were written.

A transaction of its own: whoever settles a payout writes its attempt first and the payout then, so that to take both
tables here would end in a deadlock with the workers.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import connection, migrations, models
from django.db.migrations.exceptions import IrreversibleError
from django.db.migrations.operations.base import Operation

from payouts.migrations import _guards
from postgres import migration_locks


def refuse_to_forget(apps: Any, schema_editor: Any) -> None:
    """Refuse the way back once there is something that version 0.1 has no column for."""
    del apps, schema_editor
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM payouts_payout WHERE reference_number > 1)")
        if cursor.fetchone()[0]:
            raise IrreversibleError(
                "Operators have sent payouts again under a second reference. Without its number a payout would be sent "
                "under the first. Version 0.1 runs on this schema as it is."
            )


class Migration(migrations.Migration):
    dependencies: ClassVar = [("payouts", "0004_engine")]

    operations: ClassVar[list[Operation]] = [
        migrations.RunPython(migration_locks.lock("payouts_payoutattempt"), migrations.RunPython.noop),
        migrations.AddField(
            model_name="payoutattempt",
            name="actor",
            field=models.CharField(blank=True, db_default="", max_length=200),
        ),
        migrations.AddField(
            model_name="payoutattempt",
            name="reference_number",
            field=models.PositiveSmallIntegerField(db_default=1, default=1),
        ),
        migrations.AlterField(
            model_name="payoutattempt",
            name="kind",
            field=models.CharField(
                choices=[("send", "Send"), ("ask", "Ask"), ("callback", "Callback"), ("operator", "Operator")],
                max_length=8,
            ),
        ),
        migrations.AlterField(
            model_name="payoutattempt",
            name="outcome",
            field=models.CharField(
                blank=True,
                choices=[
                    ("paid", "Paid"),
                    ("accepted", "Accepted"),
                    ("rejected", "Rejected"),
                    ("returned", "Returned"),
                    ("not_found", "Not found"),
                    ("not_sent", "Not sent"),
                    ("unknown", "Unknown"),
                    ("retried", "Retried"),
                    ("asked", "Asked"),
                    ("acknowledged", "Acknowledged"),
                ],
                max_length=12,
            ),
        ),
        migrations.RunSQL(_guards.ATTEMPT, _guards.UNGUARD_ATTEMPT),
        # What guards a payout looks at its attempts; and it knows an operator's retry.
        migrations.RunSQL(_guards.MAYBE_SENT, _guards.FORGET_MAYBE_SENT),
        migrations.RunSQL(_guards.PAYOUT, _guards.PAYOUT_OF_0002),
        # The way back begins here.
        migrations.RunPython(migrations.RunPython.noop, migration_locks.lock("payouts_payoutattempt")),
        migrations.RunPython(migrations.RunPython.noop, refuse_to_forget),
    ]
