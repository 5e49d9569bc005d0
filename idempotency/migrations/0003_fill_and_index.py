"""Fill the new columns and change the indexes beside the requests that go on: in batches, and CONCURRENTLY.

Whatever interrupts it, it can be run again: each step first removes what an interrupted one has left. The table grows
by the size of the records that are filled, until autovacuum has given their old versions back.
"""

from __future__ import annotations

from typing import Any, ClassVar

import django.db.models.deletion
from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations, models
from django.db.migrations.operations.base import Operation

BATCH = 5_000

# The trigger of 0002 fills each record that is touched.
FILL = """
UPDATE idempotency_idempotencyrecord SET resource_id = NULL
WHERE id IN (
    SELECT id FROM idempotency_idempotencyrecord
    WHERE id > %s AND resource_id IS NULL AND response_body IS NOT NULL ORDER BY id LIMIT %s
)
RETURNING id
"""

# What Django made for the foreign key of 0001. The unique constraint begins with the merchant as well.
MERCHANT_INDEX = "idempotency_idempotencyrecord_merchant_id_5fc61f10"


def fill(apps: Any, schema_editor: Any) -> None:
    del apps
    last = 0
    with schema_editor.connection.cursor() as cursor:
        while True:
            cursor.execute(FILL, [last, BATCH])
            filled = [row[0] for row in cursor.fetchall()]
            if not filled:
                return
            last = max(filled)


def drop(name: str) -> str:
    return f'DROP INDEX CONCURRENTLY IF EXISTS "{name}"'


def create(name: str, definition: str) -> tuple[str, str]:
    return drop(name), f'CREATE INDEX CONCURRENTLY "{name}" ON idempotency_idempotencyrecord {definition}'


class Migration(migrations.Migration):
    atomic = False

    dependencies: ClassVar = [("idempotency", "0002_retention")]

    operations: ClassVar[list[Operation]] = [
        migrations.RunPython(fill, migrations.RunPython.noop),
        ValidateConstraint("idempotencyrecord", name="idempotency_record_mode_known"),
        ValidateConstraint("idempotencyrecord", name="idempotency_purged_record_has_resource"),
        migrations.RunSQL(
            create("idempotency_record_kept", "(created_at) WHERE response_purged_at IS NULL"),
            drop("idempotency_record_kept"),
            state_operations=[
                migrations.AddIndex(
                    "idempotencyrecord",
                    models.Index(
                        fields=["created_at"],
                        condition=models.Q(response_purged_at__isnull=True),
                        name="idempotency_record_kept",
                    ),
                )
            ],
        ),
        migrations.RunSQL(
            create("idempotency_record_key", "(key)"),
            drop("idempotency_record_key"),
            state_operations=[
                migrations.AddIndex("idempotencyrecord", models.Index(fields=["key"], name="idempotency_record_key"))
            ],
        ),
        # AlterField alone would drop and make the foreign key again, and lock both tables meanwhile.
        migrations.RunSQL(
            drop(MERCHANT_INDEX),
            create(MERCHANT_INDEX, "(merchant_id)"),
            state_operations=[
                migrations.AlterField(
                    "idempotencyrecord",
                    "merchant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.merchant",
                    ),
                )
            ],
        ),
    ]
