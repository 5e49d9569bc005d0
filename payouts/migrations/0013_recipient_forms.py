"""A recipient is a text or an object: the database says so too.

The constraint is added without a look at the rows there are, under a lock that lasts for milliseconds. Then they are
looked at beside the requests that go on. Whatever interrupts it, it can be run again.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations, models, transaction
from django.db.migrations.operations.base import Operation

from postgres import migration_locks

NAME = "payout_recipient_text_or_object"
DROP = f"ALTER TABLE payouts_payout DROP CONSTRAINT IF EXISTS {NAME}"
ADD = (
    f"ALTER TABLE payouts_payout ADD CONSTRAINT {NAME} "
    "CHECK (jsonb_typeof(recipient_details) IN ('string', 'object')) NOT VALID"
)

lock_payouts = migration_locks.lock("payouts_payout")


def add(apps: Any, schema_editor: Any) -> None:
    with transaction.atomic(using=schema_editor.connection.alias):
        lock_payouts(apps, schema_editor)
        schema_editor.execute(DROP)
        schema_editor.execute(ADD)


def remove(apps: Any, schema_editor: Any) -> None:
    with transaction.atomic(using=schema_editor.connection.alias):
        lock_payouts(apps, schema_editor)
        schema_editor.execute(DROP)


class Migration(migrations.Migration):
    atomic = False

    dependencies: ClassVar = [("payouts", "0012_completed_at")]

    operations: ClassVar[list[Operation]] = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(add, remove)],
            state_operations=[
                migrations.AddConstraint(
                    model_name="payout",
                    constraint=models.CheckConstraint(
                        condition=models.Func(
                            "recipient_details",
                            function="jsonb_typeof",
                            output_field=models.BooleanField(),
                            template="%(function)s(%(expressions)s) IN ('string', 'object')",
                        ),
                        name=NAME,
                    ),
                )
            ],
        ),
        ValidateConstraint("payout", name=NAME),
    ]
