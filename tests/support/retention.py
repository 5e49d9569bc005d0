"""How an answer is kept for no time at all."""

from __future__ import annotations

from datetime import timedelta

#: The age at which everything that was answered so far is old.
AT_ONCE = timedelta(0)
