"""From which time on to ask again for what has changed (docs/adr/0021-polling-misses-nothing.md).

# Note [The horizon]
A change has its time before it can be seen: `updated_at` is the start of the statement, and the transaction may commit
much later. Whoever asks next for what changed since the greatest time that they have seen misses such a change. So a
list that is asked with `updated_after` says from when on to ask next, and that is before every change that it may not
show:

1. One statement asks the primary which transactions are open, before the statement that reads the list.
2. A transaction that is open then began at `xact_start`, and no change of it is earlier.
3. A transaction that begins later begins after our statement did, whose start is the other limit. The end of our
   statement would not do: it looks at one server process after the other, and one that it has passed may begin.
4. A transaction that is not open any more has committed, and the list shows it: a process is visible as open until its
   commit is visible.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import DEFAULT_DB_ALIAS, connections

logger = logging.getLogger(__name__)

#: A server process takes its time an instant before it shows that it is in a transaction. And the clock of a standby
#: that takes over may be a little behind.
MARGIN: Final = timedelta(seconds=5)

# A row of another role is shown without its times, unless our role may read all of them (pg_read_all_stats). Processes
# of the server itself have no role and change no payouts. With track_activities off a process shows nothing.
# When a prepared transaction began is not recorded. It is looked for last: what is no longer open may be prepared now.
_OPEN_TRANSACTIONS: Final = """
SELECT
    LEAST(statement_timestamp(), min(xact_start)),
    count(*) FILTER (WHERE usesysid IS NOT NULL AND (backend_type IS NULL OR state = 'disabled')),
    EXISTS (SELECT FROM pg_prepared_xacts WHERE database = current_database())
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def horizon() -> datetime | None:
    """Return a time before every change that the next statement may not see; None where PostgreSQL hides it from us."""
    connection = connections[DEFAULT_DB_ALIAS]
    with connection.cursor() as cursor:
        if connection.in_atomic_block:
            # Within a transaction PostgreSQL shows what it showed first.
            cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(_OPEN_TRANSACTIONS)
        before, hidden, has_prepared = cursor.fetchone()
    if hidden or has_prepared:
        logger.warning("polling.horizon.unknown", extra={"hidden": hidden, "prepared": has_prepared})
        return None
    found: datetime = before - MARGIN
    return found


def next_updated_after(*, updated_after: datetime, updated_before: datetime | None) -> datetime:
    """Return from when on to ask next, before the statement that reads the list. See Note [The horizon].

    Where the horizon is unknown that is from where this list was asked: nothing is missed, and nothing left out.
    What changed at `updated_before` or later is in no list yet.
    """
    known = horizon()
    if known is None:
        return in_utc(updated_after)
    return known if updated_before is None else min(known, in_utc(updated_before))


def in_utc(moment: datetime) -> datetime:
    """Return the time in UTC. One at the very edge of the calendar, which has none there, keeps its offset."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return moment
