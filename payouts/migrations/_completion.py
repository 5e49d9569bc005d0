"""The guard of payouts as migration 0012 leaves it. (No migration: Django passes by what begins with _.)

A process of the version before changes the status and does not know `completed_at`. The guard writes the column for
such a process. A process that writes the column itself is left alone.
"""

from __future__ import annotations

from typing import Final

from payouts.migrations import _guards

OVER: Final = ("canceled", "failed", "paid", "returned")

_END: Final = """
    RETURN NEW;
END $$;
"""

# The clock of updated_at: Django's Now() is the start of the statement.
_COMPLETE: Final = """
    IF NEW.status <> OLD.status AND NEW.completed_at IS NOT DISTINCT FROM OLD.completed_at THEN
        NEW.completed_at := CASE WHEN NEW.status IN ('canceled', 'failed', 'paid', 'returned')
            THEN statement_timestamp() END;
    END IF;
"""

PAYOUT: Final = _guards.PAYOUT.removesuffix(_END) + _COMPLETE + _END.removeprefix("\n")
