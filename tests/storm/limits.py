"""What the platform and the bank of a storm keep to. Short, so that what ends, ends within the storm."""

from __future__ import annotations

from typing import Final

#: What a call of the bank may take. What is found out after a time-out is found out often enough in a storm of 45 s.
CALL_SECONDS: Final = 3
LEASE_SECONDS: Final = 3 * CALL_SECONDS
RETRY_SECONDS_MAX: Final = 2
SWEEP_SECONDS: Final = 0.5

#: Calls that the bank takes at once.
CALLS_AT_ONCE_MAX: Final = 3
#: For so long the platform asks if a payment came back: after a quarter, a half and all of it.
RETURN_SECONDS: Final = 60
#: For so long the bank remembers a reference. Then it would pay it again.
MEMORY_SECONDS: Final = 20
#: For so long after the first send the platform may send a reference again: it must be over before it is forgotten.
WINDOW_SECONDS: Final = MEMORY_SECONDS - LEASE_SECONDS
