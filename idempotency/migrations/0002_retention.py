"""What keeps a key working when its answer is erased: what the request was, and what it created.

The columns are added without rewriting the table, and the constraints without reading it (0003 does that, without a
lock), so requests go on meanwhile. Processes of version 0.1 may still write, and know nothing of the new columns: a
trigger fills them. It may go when nobody upgrades from 0.1 any more.
"""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models
from django.db.migrations.operations.base import Operation

# Version 0.1 took keys for this one operation, and its answer was always a payout with its id.
FILL = """
CREATE FUNCTION idempotency_fill_record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.method := 'POST';
    NEW.path := '/api/payouts/';
    NEW.resource_type := 'payout';
    NEW.resource_id := (convert_from(NEW.response_body, 'UTF8')::jsonb ->> 'id')::uuid;
    RETURN NEW;
END $$;

CREATE TRIGGER idempotency_fill_record BEFORE UPDATE ON idempotency_idempotencyrecord
    FOR EACH ROW WHEN (NEW.response_body IS NOT NULL AND NEW.resource_id IS NULL)
    EXECUTE FUNCTION idempotency_fill_record();
"""
UNFILL = """
DROP TRIGGER idempotency_fill_record ON idempotency_idempotencyrecord;
DROP FUNCTION idempotency_fill_record();
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("idempotency", "0001_initial")]

    operations: ClassVar[list[Operation]] = [
        migrations.AddField("idempotencyrecord", "method", models.CharField(db_default="", max_length=8)),
        migrations.AddField("idempotencyrecord", "path", models.CharField(db_default="", max_length=255)),
        migrations.AddField("idempotencyrecord", "resource_type", models.CharField(db_default="", max_length=32)),
        migrations.AddField("idempotencyrecord", "resource_id", models.UUIDField(null=True)),
        migrations.AddField("idempotencyrecord", "response_purged_at", models.DateTimeField(null=True)),
        AddConstraintNotValid(
            "idempotencyrecord",
            models.CheckConstraint(condition=models.Q(mode__in=["live", "test"]), name="idempotency_record_mode_known"),
        ),
        AddConstraintNotValid(
            "idempotencyrecord",
            models.CheckConstraint(
                condition=models.Q(response_purged_at__isnull=True)
                | models.Q(resource_id__isnull=False, response_body__isnull=True),
                name="idempotency_purged_record_has_resource",
            ),
        ),
        migrations.RunSQL(FILL, UNFILL),
    ]
