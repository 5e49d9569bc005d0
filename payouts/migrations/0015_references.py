"""What tells one payment from another after the database has lost commits: references from keys, banks and leases, and
which server it was.

The columns are NULL or have constant defaults, so no table is rewritten, and processes of the version before go on: a
payout of theirs keeps its id as its reference. Each table is locked in a transaction of its own, because a worker locks
both, in another order. Whatever interrupts the migration, it can be run again.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django.db import connection, migrations, models, transaction
from django.db.migrations.exceptions import IrreversibleError
from django.db.migrations.operations.base import Operation
from django.db.models.functions import Now

from payouts.migrations import _references
from postgres import migration_locks

PAYOUT_COLUMN: Final = "ALTER TABLE payouts_payout ADD COLUMN IF NOT EXISTS own_reference uuid NULL"
DROP_PAYOUT_COLUMN: Final = "ALTER TABLE payouts_payout DROP COLUMN own_reference"

ATTEMPT_COLUMNS: Final = """
ALTER TABLE payouts_payoutattempt
    ADD COLUMN IF NOT EXISTS bank varchar(64) DEFAULT '' NOT NULL,
    ADD COLUMN IF NOT EXISTS lease_token uuid NULL
"""
DROP_ATTEMPT_COLUMNS: Final = "ALTER TABLE payouts_payoutattempt DROP COLUMN bank, DROP COLUMN lease_token"

UNIQUE: Final = "payout_own_reference_unique"
DROP_INDEX: Final = f"DROP INDEX CONCURRENTLY IF EXISTS {UNIQUE}"
INDEX: Final = (
    f"CREATE UNIQUE INDEX CONCURRENTLY {UNIQUE} ON payouts_payout (own_reference) WHERE own_reference IS NOT NULL"
)


def alter(table: str, *statements: str) -> Any:
    """Return a step that locks the table for these statements, which are quick."""

    def step(apps: Any, schema_editor: Any) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            migration_locks.lock(table)(apps, schema_editor)
            for statement in statements:
                cursor.execute(statement)

    return step


def refuse_to_forget(apps: Any, schema_editor: Any) -> None:
    """Refuse the way back once a provider may know a payout by another reference than its id."""
    del apps, schema_editor
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM payouts_payout WHERE own_reference <> id)")
        if cursor.fetchone()[0]:
            raise IrreversibleError(
                "Payouts have references that were derived from their idempotency keys. Without them they would be "
                "sent again under other ones. The version before runs on this schema as it is."
            )


class Migration(migrations.Migration):
    atomic = False

    dependencies: ClassVar = [("payouts", "0014_export_bom")]

    operations: ClassVar[list[Operation]] = [
        migrations.SeparateDatabaseAndState(
            [
                migrations.RunPython(
                    alter("payouts_payoutattempt", ATTEMPT_COLUMNS, _references.ATTEMPT, _references.CALLER),
                    alter(
                        "payouts_payoutattempt",
                        _references.UNGUARD_CALLER,
                        _references.ATTEMPT_OF_0005,
                        DROP_ATTEMPT_COLUMNS,
                    ),
                )
            ],
            [
                migrations.AddField(
                    "payoutattempt", "bank", models.CharField(blank=True, db_default="", max_length=64)
                ),
                migrations.AddField("payoutattempt", "lease_token", models.UUIDField(null=True)),
            ],
        ),
        # After the guard of callers: it must be there before the first payout with such a reference.
        migrations.SeparateDatabaseAndState(
            [
                migrations.RunPython(
                    alter("payouts_payout", PAYOUT_COLUMN, _references.OWN_REFERENCE),
                    alter("payouts_payout", _references.UNGUARD_OWN_REFERENCE, DROP_PAYOUT_COLUMN),
                )
            ],
            [migrations.AddField("payout", "own_reference", models.UUIDField(null=True))],
        ),
        migrations.RunSQL(
            (DROP_INDEX, INDEX),
            DROP_INDEX,
            state_operations=[
                migrations.AddConstraint(
                    "payout",
                    models.UniqueConstraint(
                        fields=["own_reference"],
                        condition=models.Q(own_reference__isnull=False),
                        name=UNIQUE,
                    ),
                )
            ],
        ),
        migrations.CreateModel(
            "KnownServer",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("system_identifier", models.CharField(max_length=20)),
                ("timeline", models.PositiveBigIntegerField()),
                ("since", models.DateTimeField(db_default=Now())),
            ],
            options={
                "constraints": [models.CheckConstraint(condition=models.Q(("id", 1)), name="known_server_is_one")]
            },
        ),
        # The way back begins here.
        migrations.RunPython(migrations.RunPython.noop, refuse_to_forget),
    ]
