"""Triggers of migration 0015. (No migration: Django passes by what begins with _.)"""

from __future__ import annotations

from typing import Final

from payouts.migrations import _guards

# A trigger of its own: it runs only if a statement changes the column.
OWN_REFERENCE: Final = """
CREATE OR REPLACE FUNCTION payouts_guard_own_reference() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a payout keeps its reference at the provider: under another one it would be paid twice'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'payout_own_reference_fixed';
END $$;

DROP TRIGGER IF EXISTS payouts_guard_own_reference ON payouts_payout;
CREATE TRIGGER payouts_guard_own_reference BEFORE UPDATE OF own_reference ON payouts_payout
    FOR EACH ROW WHEN (NEW.own_reference IS DISTINCT FROM OLD.own_reference)
    EXECUTE FUNCTION payouts_guard_own_reference();
"""
UNGUARD_OWN_REFERENCE: Final = """
DROP TRIGGER payouts_guard_own_reference ON payouts_payout;
DROP FUNCTION payouts_guard_own_reference();
"""

# A worker of the version before does not know the column, and would call the provider under the payout's id. It does
# not write the lease to the attempt either, so it can be told. Its claim is rolled back, and the sweeper enqueues the
# payout until a worker of this version takes it.
CALLER: Final = """
CREATE OR REPLACE FUNCTION payouts_guard_caller() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM payouts_payout WHERE id = NEW.payout_id AND own_reference <> id) THEN
        RAISE EXCEPTION 'this version does not know the reference of the payout: only a newer one may call its provider'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'payout_attempt_by_known_reference';
    END IF;
    RETURN NEW;
END $$;

DROP TRIGGER IF EXISTS payouts_guard_caller ON payouts_payoutattempt;
CREATE TRIGGER payouts_guard_caller BEFORE INSERT ON payouts_payoutattempt
    FOR EACH ROW WHEN (NEW.kind IN ('send', 'ask') AND NEW.lease_token IS NULL)
    EXECUTE FUNCTION payouts_guard_caller();
"""
UNGUARD_CALLER: Final = """
DROP TRIGGER payouts_guard_caller ON payouts_payoutattempt;
DROP FUNCTION payouts_guard_caller();
"""

# The guard of attempts also keeps the new columns.
_FUNCTION: Final = _guards.ATTEMPT.split("CREATE TRIGGER", maxsplit=1)[0]
ATTEMPT: Final = _FUNCTION.replace("NEW.started_at)", "NEW.started_at, NEW.bank, NEW.lease_token)").replace(
    "OLD.started_at)", "OLD.started_at, OLD.bank, OLD.lease_token)"
)
ATTEMPT_OF_0005: Final = _FUNCTION
