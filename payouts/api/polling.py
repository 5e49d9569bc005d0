"""The time from which a client polls next for changes (docs/adr/0021-polling-misses-nothing.md).

# Note [The horizon]
A change gets its time before it is visible: `updated_at` is the start of the statement, and the transaction may commit
much later. A client that polls from the greatest time in its last answer misses such a change. So a list with
`updated_after` returns the time to poll from next. That time is before every change that the list may not show:

1. One statement asks the primary which transactions are open, before the statement that reads the list.
2. An open transaction began at `xact_start`, and none of its changes is earlier.
3. A later transaction begins after our statement, so the start of our statement is the other limit. Its end would be
   too late: the statement looks at one server process after the other, and a process may begin behind it.
4. A transaction that has ended has committed, and the list shows it: a process is visible as open until its commit is
   visible.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import DEFAULT_DB_ALIAS, connections

logger = logging.getLogger(__name__)

#: A server process takes its time an instant before it shows its transaction. And after a failover the clock of the new
#: primary may be a little behind.
MARGIN: Final = timedelta(seconds=5)

# A row of another role is shown without its times, unless our role may read all of them (pg_read_all_stats). Processes
# of the server itself have no role and change no payouts. With track_activities off a process shows nothing.
# The start of a prepared transaction is not recorded. It is looked for last: an open one may be prepared by then.
_OPEN_TRANSACTIONS: Final = """
SELECT
    LEAST(statement_timestamp(), min(xact_start)),
    count(*) FILTER (WHERE usesysid IS NOT NULL AND (backend_type IS NULL OR state = 'disabled')),
    EXISTS (SELECT FROM pg_prepared_xacts WHERE database = current_database())
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def horizon() -> datetime | None:
    """Return a time before every change that the next statement may not see; None if PostgreSQL hides the time."""
    connection = connections[DEFAULT_DB_ALIAS]
    with connection.cursor() as cursor:
        if connection.in_atomic_block:
            # Within a transaction PostgreSQL repeats its first snapshot.
            cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(_OPEN_TRANSACTIONS)
        before, hidden, has_prepared = cursor.fetchone()
    if hidden or has_prepared:
        logger.warning("polling.horizon.unknown", extra={"hidden": hidden, "prepared": has_prepared})
        return None
    found: datetime = before - MARGIN
    return found


def next_updated_after(*, updated_after: datetime, updated_before: datetime | None) -> datetime:
    """Return the time to poll from next. Call it before the statement that reads the list. See Note [The horizon].

    If the horizon is unknown, the time is this list's own `updated_after`: nothing is missed.
    Changes at `updated_before` or later are in no list yet.
    """
    known = horizon()
    if known is None:
        return in_utc(updated_after)
    return known if updated_before is None else min(known, in_utc(updated_before))


def in_utc(moment: datetime) -> datetime:
    """Return the time in UTC. A time at the edge of the calendar, without a UTC form, keeps its offset."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return moment
