"""When each payout was over: a column, filled from the history in batches, and a constraint that keeps it true.

The column and the guard that fills it for processes of the version before come in one transaction, which holds the
table for an instant. From then on each payout that ends gets its time, whichever version ends it. What ended before is
filled beside the requests that go on. Whatever interrupts the migration, it can be run again.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django.contrib.postgres.operations import ValidateConstraint
from django.db import connection, migrations, models, transaction
from django.db.migrations.operations.base import Operation

from payouts.migrations import _completion, _guards
from postgres import migration_locks

#: Rows of one transaction. A worker that wants one of them waits for some tens of milliseconds.
BATCH: Final = 2_000

COLUMN: Final = "ALTER TABLE payouts_payout ADD COLUMN IF NOT EXISTS completed_at timestamptz NULL"
DROP_COLUMN: Final = "ALTER TABLE payouts_payout DROP COLUMN completed_at"

CONSTRAINT: Final = "payout_completed_while_over"
_IS_OVER: Final = "status IN ('canceled', 'failed', 'paid', 'returned')"
DROP: Final = f"ALTER TABLE payouts_payout DROP CONSTRAINT IF EXISTS {CONSTRAINT}"
CHECK: Final = f"""
ALTER TABLE payouts_payout ADD CONSTRAINT {CONSTRAINT}
    CHECK (({_IS_OVER} AND completed_at IS NOT NULL) OR (NOT ({_IS_OVER}) AND completed_at IS NULL)) NOT VALID
"""

# Each batch goes on behind the last id that was looked at, so that the table is read once.
LOOK: Final = "SELECT id FROM payouts_payout WHERE id > %s ORDER BY id LIMIT %s"
# A payout without history has none to ask: it was imported.
FILL: Final = """
UPDATE payouts_payout SET completed_at = COALESCE(
    (
        SELECT entered.created_at FROM payouts_payouttransition AS entered
        WHERE entered.payout_id = payouts_payout.id AND entered.to_status = payouts_payout.status
        ORDER BY entered.id DESC LIMIT 1
    ),
    updated_at
)
WHERE id = ANY(%s) AND completed_at IS NULL AND status IN ('canceled', 'failed', 'paid', 'returned')
"""
_BEFORE_ALL: Final = "00000000-0000-0000-0000-000000000000"


def alter(*statements: str) -> Any:
    """Return a step that holds the table for these statements, which are quick."""

    def step(apps: Any, schema_editor: Any) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            migration_locks.lock("payouts_payout")(apps, schema_editor)
            for statement in statements:
                cursor.execute(statement)

    return step


def fill(apps: Any, schema_editor: Any) -> None:
    del apps, schema_editor
    last: Any = _BEFORE_ALL
    with connection.cursor() as cursor:
        while True:
            cursor.execute(LOOK, [last, BATCH])
            ids = [row[0] for row in cursor.fetchall()]
            if not ids:
                return
            cursor.execute(FILL, [ids])
            last = ids[-1]


class Migration(migrations.Migration):
    atomic = False

    dependencies: ClassVar = [("payouts", "0011_search_terms")]

    operations: ClassVar[list[Operation]] = [
        migrations.SeparateDatabaseAndState(
            [migrations.RunPython(alter(COLUMN, _completion.PAYOUT), alter(_guards.PAYOUT, DROP_COLUMN))],
            [migrations.AddField("payout", "completed_at", models.DateTimeField(null=True))],
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
        migrations.SeparateDatabaseAndState(
            [migrations.RunPython(alter(DROP, CHECK), alter(DROP))],
            [
                migrations.AddConstraint(
                    "payout",
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("completed_at__isnull", False), ("status__in", list(_completion.OVER))),
                            models.Q(
                                models.Q(("status__in", list(_completion.OVER)), _negated=True),
                                ("completed_at__isnull", True),
                            ),
                            _connector="OR",
                        ),
                        name=CONSTRAINT,
                    ),
                )
            ],
        ),
        ValidateConstraint("payout", CONSTRAINT),
    ]
