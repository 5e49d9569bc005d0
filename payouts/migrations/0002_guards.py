"""What the database itself refuses, whoever asks: a status change that states.py does not name, a change of what is
paid to whom once it is no longer pending, and any change of the history.

The pairs are written out, for a migration must not change when the table does: a change of the table needs a new
migration, and tests/integration/payouts/models/test_guards.py compares the two.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations
from django.db.migrations.operations.base import Operation

GUARDS = """
CREATE FUNCTION payouts_guard_payout() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a payout is never deleted: set deleted_at'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'payout_kept_for_audit';
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'pending' THEN
            RAISE EXCEPTION 'a payout begins as pending, not %', NEW.status
                USING ERRCODE = 'check_violation', CONSTRAINT = 'payout_begins_pending';
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.status <> OLD.status AND (OLD.status || '>' || NEW.status) NOT IN (
        'pending>processing', 'pending>canceled',
        'processing>submitted', 'processing>paid', 'processing>failed', 'processing>unknown', 'processing>pending',
        'submitted>paid', 'submitted>failed', 'submitted>requires_attention',
        'unknown>submitted', 'unknown>paid', 'unknown>failed', 'unknown>processing', 'unknown>requires_attention',
        'requires_attention>paid', 'requires_attention>failed', 'requires_attention>pending',
        'paid>returned'
    ) THEN
        RAISE EXCEPTION 'a payout cannot go from % to %', OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payout_transition_allowed';
    END IF;
    IF (NEW.merchant_id, NEW.mode) IS DISTINCT FROM (OLD.merchant_id, OLD.mode) THEN
        RAISE EXCEPTION 'a payout keeps its merchant and mode'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payout_owner_fixed';
    END IF;
    IF (OLD.status <> 'pending' OR NEW.status <> 'pending')
        AND (NEW.amount, NEW.currency, NEW.recipient_details)
            IS DISTINCT FROM (OLD.amount, OLD.currency, OLD.recipient_details) THEN
        RAISE EXCEPTION 'what is paid to whom is fixed once a payout is no longer pending'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payout_terms_fixed';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER payouts_guard_payout BEFORE INSERT OR UPDATE OR DELETE ON payouts_payout
    FOR EACH ROW EXECUTE FUNCTION payouts_guard_payout();

CREATE FUNCTION payouts_guard_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the history of a payout is append-only'
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'payout_transition_append_only';
END $$;

CREATE TRIGGER payouts_guard_transition BEFORE UPDATE OR DELETE ON payouts_payouttransition
    FOR EACH ROW EXECUTE FUNCTION payouts_guard_transition();
"""

UNGUARD = """
DROP TRIGGER payouts_guard_transition ON payouts_payouttransition;
DROP FUNCTION payouts_guard_transition();
DROP TRIGGER payouts_guard_payout ON payouts_payout;
DROP FUNCTION payouts_guard_payout();
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("payouts", "0001_initial")]

    operations: ClassVar[list[Operation]] = [migrations.RunSQL(GUARDS, UNGUARD)]
