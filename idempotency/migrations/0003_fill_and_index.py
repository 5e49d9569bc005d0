"""Fill the new columns and build the indexes beside the requests that go on: in batches, and CONCURRENTLY.

One that is interrupted can be run again, once an index that was left invalid has been dropped: PostgreSQL names it.
"""

from __future__ import annotations

from typing import Any, ClassVar

import django.db.models.deletion
from django.contrib.postgres.operations import AddIndexConcurrently, ValidateConstraint
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

SWAP = """
ALTER TABLE idempotency_idempotencyrecord
    DROP CONSTRAINT idempotency_key_unique_per_merchant,
    ADD CONSTRAINT idempotency_key_unique_per_merchant UNIQUE USING INDEX {index}
"""
BUILD = "CREATE UNIQUE INDEX CONCURRENTLY {index} ON idempotency_idempotencyrecord ({columns})"
# ADD CONSTRAINT renames the index to the constraint's name.
BY_KEY, BY_MERCHANT = "idempotency_unique_by_key", "idempotency_unique_by_merchant"


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


class Migration(migrations.Migration):
    atomic = False

    dependencies: ClassVar = [("idempotency", "0002_retention")]

    operations: ClassVar[list[Operation]] = [
        migrations.RunPython(fill, migrations.RunPython.noop),
        ValidateConstraint("idempotencyrecord", name="idempotency_record_mode_known"),
        ValidateConstraint("idempotencyrecord", name="idempotency_purged_record_has_resource"),
        AddIndexConcurrently(
            "idempotencyrecord",
            models.Index(
                fields=["created_at"],
                condition=models.Q(response_purged_at__isnull=True),
                name="idempotency_record_kept",
            ),
        ),
        AddIndexConcurrently(
            "idempotencyrecord", models.Index(fields=["merchant", "id"], name="idempotency_record_merchant")
        ),
        migrations.AlterField(
            "idempotencyrecord",
            "merchant",
            models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.merchant"
            ),
        ),
        migrations.RunSQL(
            BUILD.format(index=BY_KEY, columns="key, merchant_id, mode"),
            [BUILD.format(index=BY_MERCHANT, columns="merchant_id, mode, key"), SWAP.format(index=BY_MERCHANT)],
        ),
        migrations.RunSQL(
            SWAP.format(index=BY_KEY),
            migrations.RunSQL.noop,
            state_operations=[
                migrations.RemoveConstraint("idempotencyrecord", "idempotency_key_unique_per_merchant"),
                migrations.AddConstraint(
                    "idempotencyrecord",
                    models.UniqueConstraint(
                        fields=["key", "merchant", "mode"], name="idempotency_key_unique_per_merchant"
                    ),
                ),
            ],
        ),
    ]
