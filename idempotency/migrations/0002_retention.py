"""What keeps a key working when its answer is erased (what the request was, what it created), and what guards it.

The columns are added without rewriting the table, and the constraints without reading it (0003 does that without a
lock), so requests hardly wait. Processes of version 0.1 may still write, and know nothing of the new columns: a trigger
fills them. It may go when nobody upgrades from 0.1 any more.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import connection, migrations, models
from django.db.migrations.exceptions import IrreversibleError
from django.db.migrations.operations.base import Operation

from postgres import migration_locks

# OR REPLACE: a dump of version 0.1 that is restored over this schema leaves the functions behind.
# Version 0.1 takes keys for this one operation, and its answer is always a payout with its id.
FILL = """
CREATE OR REPLACE FUNCTION idempotency_fill_record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.method := 'POST';
    NEW.path := '/api/payouts/';
    NEW.resource_type := 'payout';
    NEW.resource_id := (convert_from(NEW.response_body, 'UTF8')::jsonb ->> 'id')::uuid;
    RETURN NEW;
END $$;

CREATE TRIGGER idempotency_fill_record BEFORE INSERT OR UPDATE ON idempotency_idempotencyrecord
    FOR EACH ROW WHEN (NEW.response_body IS NOT NULL AND NEW.resource_id IS NULL)
    EXECUTE FUNCTION idempotency_fill_record();
"""
UNFILL = """
DROP TRIGGER idempotency_fill_record ON idempotency_idempotencyrecord;
DROP FUNCTION idempotency_fill_record();
"""

# A record is written twice in the transaction that claims its key (claim, answer), and once more when the answer is
# erased. Nothing else ever happens to it. TRUNCATE is not refused: it is the owner's alone, and tests need it.
GUARD = """
CREATE OR REPLACE FUNCTION idempotency_guard_record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'an idempotency key is kept for ever: without it, a retry would be a second request'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'idempotency_key_kept_for_ever';
    END IF;
    IF (NEW.id, NEW.merchant_id, NEW.mode, NEW.key, NEW.fingerprint, NEW.created_at)
            IS DISTINCT FROM (OLD.id, OLD.merchant_id, OLD.mode, OLD.key, OLD.fingerprint, OLD.created_at)
        -- Empty in a record of version 0.1 that has not been filled.
        OR OLD.method <> '' AND (NEW.method, NEW.path) IS DISTINCT FROM (OLD.method, OLD.path) THEN
        RAISE EXCEPTION 'an idempotency key belongs to its merchant, mode and request for ever'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'idempotency_record_fixed';
    END IF;
    IF OLD.resource_id IS NOT NULL AND (
        (NEW.response_status, NEW.resource_type, NEW.resource_id)
            IS DISTINCT FROM (OLD.response_status, OLD.resource_type, OLD.resource_id)
        OR OLD.response_purged_at IS NOT NULL
        OR NEW.response_purged_at IS NULL
        OR NEW.response_body IS NOT NULL
    ) THEN
        RAISE EXCEPTION 'an answer is replayed as it was: it can be erased, and not changed'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'idempotency_response_fixed';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER idempotency_guard_record BEFORE UPDATE OR DELETE ON idempotency_idempotencyrecord
    FOR EACH ROW EXECUTE FUNCTION idempotency_guard_record();

CREATE OR REPLACE FUNCTION idempotency_complete_record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM idempotency_idempotencyrecord
        WHERE id = NEW.id AND (response_status IS NULL OR response_body IS NULL AND response_purged_at IS NULL)
    ) THEN
        RAISE EXCEPTION 'an idempotency key is committed together with its answer, or not at all'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'idempotency_record_complete';
    END IF;
    RETURN NULL;
END $$;

-- At COMMIT: whoever claims a key must have kept the answer by then.
CREATE CONSTRAINT TRIGGER idempotency_complete_record AFTER INSERT ON idempotency_idempotencyrecord
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.response_status IS NULL)
    EXECUTE FUNCTION idempotency_complete_record();
"""
UNGUARD = """
DROP TRIGGER idempotency_complete_record ON idempotency_idempotencyrecord;
DROP FUNCTION idempotency_complete_record();
DROP TRIGGER idempotency_guard_record ON idempotency_idempotencyrecord;
DROP FUNCTION idempotency_guard_record();
"""


def refuse_to_forget(apps: Any, schema_editor: Any) -> None:
    """Refuse the way back once there is something that version 0.1 has no columns for."""
    del apps, schema_editor
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM idempotency_idempotencyrecord"
            " WHERE response_purged_at IS NOT NULL OR path <> '/api/payouts/')"
        )
        if cursor.fetchone()[0]:
            raise IrreversibleError(
                "Answers have been erased, or keys used for canceling and changing payouts. The columns that keep such "
                "keys working cannot be dropped. Version 0.1 runs on this schema as it is."
            )


class Migration(migrations.Migration):
    dependencies: ClassVar = [("idempotency", "0001_initial")]

    operations: ClassVar[list[Operation]] = [
        migrations.RunPython(migration_locks.lock("idempotency_idempotencyrecord"), migrations.RunPython.noop),
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
        migrations.RunSQL(GUARD, UNGUARD),
        # On the way back from here upwards: nothing may be written between the check and the end.
        migrations.RunPython(migrations.RunPython.noop, refuse_to_forget),
        migrations.RunPython(migrations.RunPython.noop, migration_locks.lock("idempotency_idempotencyrecord")),
    ]
