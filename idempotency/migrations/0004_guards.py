"""What the database itself refuses, whoever asks: to forget a key, and to change what was answered to it.

A record is written twice in the transaction that claims its key (claim, answer), and once more when the answer is
erased. Nothing else ever happens to it. TRUNCATE is not refused: it is the owner's alone, and tests need it.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations
from django.db.migrations.operations.base import Operation

GUARDS = """
CREATE FUNCTION idempotency_guard_record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'an idempotency key is kept for ever: without it, a retry would be a second request'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'idempotency_key_kept_for_ever';
    END IF;
    IF (NEW.id, NEW.merchant_id, NEW.mode, NEW.key, NEW.fingerprint, NEW.created_at)
            IS DISTINCT FROM (OLD.id, OLD.merchant_id, OLD.mode, OLD.key, OLD.fingerprint, OLD.created_at)
        -- Version 0.1 leaves them empty, and 0002 fills them.
        OR OLD.method <> '' AND (NEW.method, NEW.path) IS DISTINCT FROM (OLD.method, OLD.path) THEN
        RAISE EXCEPTION 'an idempotency key belongs to its merchant, mode and request for ever'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'idempotency_record_fixed';
    END IF;
    IF OLD.response_status IS NOT NULL AND (
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
"""

UNGUARD = """
DROP TRIGGER idempotency_guard_record ON idempotency_idempotencyrecord;
DROP FUNCTION idempotency_guard_record();
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("idempotency", "0003_fill_and_index")]

    operations: ClassVar[list[Operation]] = [migrations.RunSQL(GUARDS, UNGUARD)]
