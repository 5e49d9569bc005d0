"""The INSERT of a new payout, as a part of one statement with all else that its request writes.

Through the model it took a millisecond to build. A column that is not named here has its default in the database.
"""

from __future__ import annotations

from typing import Any, Final

from psycopg.types.json import Jsonb

from payouts.models.payout import Payout

_COLUMNS: Final = (
    "id", "merchant_id", "mode", "status", "amount", "currency", "recipient_details", "comment", "reference",
    "metadata", "idempotency_key", "provider", "own_reference", "provider_reference", "failure_code",
    "failure_message", "attempts_count", "due_at", "expires_at", "give_up_at", "version", "created_at", "updated_at",
)  # fmt: skip
_JSON: Final = frozenset({"recipient_details", "metadata"})
_VALUES: Final = ", ".join(f"%(payout_{name})s" for name in _COLUMNS)

#: A CTE that inserts the payout if the CTE `claimed` has a row.
PAYOUT: Final = f"payout AS (INSERT INTO payouts_payout ({', '.join(_COLUMNS)}) SELECT {_VALUES} FROM claimed)"


def parameters_of(payout: Payout) -> dict[str, Any]:
    """Return the parameters of PAYOUT for this payout."""
    return {
        f"payout_{name}": Jsonb(getattr(payout, name)) if name in _JSON else getattr(payout, name) for name in _COLUMNS
    }
