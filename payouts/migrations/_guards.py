"""The function behind the trigger on payouts, as it is from 0005 on and as it was. Later ones are in _completion.py and
_resolution.py. (No migration: Django passes by what begins with _.)

The pairs are written out, for a migration must not change when the table does: a change of the table in
payouts/states.py needs a new migration, and tests/integration/payouts/models/test_guards.py compares the two.
"""

from __future__ import annotations

import importlib
from typing import Final

PAYOUT: Final = """
CREATE OR REPLACE FUNCTION payouts_guard_payout() RETURNS trigger LANGUAGE plpgsql AS $$
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
        'paid>returned',
        'failed>pending'
    ) THEN
        RAISE EXCEPTION 'a payout cannot go from % to %', OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payout_transition_allowed';
    END IF;
    IF (NEW.merchant_id, NEW.mode) IS DISTINCT FROM (OLD.merchant_id, OLD.mode) THEN
        RAISE EXCEPTION 'a payout keeps its merchant and mode'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payout_owner_fixed';
    END IF;
    IF NEW.reference_number <> OLD.reference_number AND NOT (
        OLD.status = 'failed' AND NEW.status = 'pending' AND NEW.reference_number = OLD.reference_number + 1
    ) THEN
        RAISE EXCEPTION 'only a payout that failed is sent under another reference, the next one'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payout_reference_fixed';
    END IF;
    IF (NEW.amount, NEW.currency, NEW.recipient_details, NEW.provider)
            IS DISTINCT FROM (OLD.amount, OLD.currency, OLD.recipient_details, OLD.provider)
        AND (OLD.status <> 'pending' OR NEW.status <> 'pending' OR payouts_maybe_sent(OLD.id, OLD.reference_number))
    THEN
        RAISE EXCEPTION 'what is paid to whom by whom is fixed once a payout may have been sent'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payout_terms_fixed';
    END IF;
    IF OLD.status = 'pending' AND NEW.status = 'canceled'
        AND (OLD.contradicted_at IS NOT NULL OR payouts_maybe_sent(OLD.id, OLD.reference_number))
    THEN
        RAISE EXCEPTION 'a payout that may have been sent cannot be canceled'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payout_canceled_unsent';
    END IF;
    RETURN NEW;
END $$;
"""

# As 0002 made it, for the way back.
PAYOUT_OF_0002: Final = (
    importlib.import_module("payouts.migrations.0002_guards")
    .GUARDS.split("CREATE TRIGGER")[0]
    .replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
)

# Asked only when terms change or a payout is canceled.
MAYBE_SENT: Final = """
CREATE OR REPLACE FUNCTION payouts_maybe_sent(payout uuid, reference integer) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM payouts_payoutattempt
        WHERE payout_id = payout AND reference_number = reference AND kind = 'send' AND outcome <> 'not_sent'
    )
$$;
"""
FORGET_MAYBE_SENT: Final = "DROP FUNCTION payouts_maybe_sent(uuid, integer)"

ATTEMPT: Final = """
CREATE OR REPLACE FUNCTION payouts_guard_attempt() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE'
        OR OLD.finished_at IS NOT NULL
        OR (NEW.id, NEW.payout_id, NEW.number, NEW.kind, NEW.reference_number, NEW.actor, NEW.started_at)
            IS DISTINCT FROM
            (OLD.id, OLD.payout_id, OLD.number, OLD.kind, OLD.reference_number, OLD.actor, OLD.started_at)
    THEN
        RAISE EXCEPTION 'attempts are append-only: one that is under way can be completed, once'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'payout_attempt_append_only';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER payouts_guard_attempt BEFORE UPDATE OR DELETE ON payouts_payoutattempt
    FOR EACH ROW EXECUTE FUNCTION payouts_guard_attempt();
"""
UNGUARD_ATTEMPT: Final = """
DROP TRIGGER payouts_guard_attempt ON payouts_payoutattempt;
DROP FUNCTION payouts_guard_attempt();
"""
