"""Indexes for lists, filters and search, made CONCURRENTLY beside the requests that go on.

On five million payouts they take a minute and a half. Whatever interrupts it, it can be run again: each step first
removes what an interrupted one has left. `pg_trgm` and `btree_gin` come with PostgreSQL and are trusted: who may create
in the database may create them, so that no superuser is needed.
"""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.contrib.postgres.operations import BtreeGinExtension, TrigramExtension
from django.db import migrations, models
from django.db.migrations.operations.base import Operation
from django.db.models.functions import Upper

from payouts.models.indexes import SearchText

_LISTED = "WHERE deleted_at IS NULL"
_NEWEST_FIRST = "created_at DESC, id DESC"
_TEXT = (
    "UPPER(comment || chr(10) || reference || chr(10) || COALESCE(recipient_details ->> 'name', '') || chr(10) || "
    "COALESCE(recipient_details ->> 'account', ''))"
)

LISTED = models.Q(deleted_at__isnull=True)
NEWEST_FIRST = (models.F("created_at").desc(), models.F("id").desc())

# Each as PostgreSQL is told it, and as Django keeps it in mind.
INDEXES = {
    f"(merchant_id, mode, {_NEWEST_FIRST}) INCLUDE (status, currency, amount, provider) {_LISTED}": models.Index(
        "merchant",
        "mode",
        *NEWEST_FIRST,
        include=("status", "currency", "amount", "provider"),
        condition=LISTED,
        name="payout_listed",
    ),
    f"(merchant_id, mode, status, {_NEWEST_FIRST}) {_LISTED}": models.Index(
        "merchant", "mode", "status", *NEWEST_FIRST, condition=LISTED, name="payout_by_status"
    ),
    f"(merchant_id, mode, currency, {_NEWEST_FIRST}) {_LISTED}": models.Index(
        "merchant", "mode", "currency", *NEWEST_FIRST, condition=LISTED, name="payout_by_currency"
    ),
    f"(merchant_id, mode, amount, id) {_LISTED}": models.Index(
        "merchant", "mode", "amount", "id", condition=LISTED, name="payout_by_amount"
    ),
    f"(merchant_id, mode, updated_at) {_LISTED}": models.Index(
        "merchant", "mode", "updated_at", condition=LISTED, name="payout_by_update"
    ),
    "(reference, merchant_id, mode) WHERE reference <> ''": models.Index(
        "reference", "merchant", "mode", condition=~models.Q(reference=""), name="payout_by_reference"
    ),
    f"USING gin (merchant_id, {_TEXT} gin_trgm_ops) {_LISTED}": GinIndex(
        models.F("merchant"), OpClass(Upper(SearchText()), name="gin_trgm_ops"), condition=LISTED, name="payout_search"
    ),
    f"USING gin (merchant_id, metadata jsonb_path_ops) {_LISTED}": GinIndex(
        models.F("merchant"),
        OpClass(models.F("metadata"), name="jsonb_path_ops"),
        condition=LISTED,
        name="payout_by_metadata",
    ),
}


def drop(name: str) -> str:
    return f'DROP INDEX CONCURRENTLY IF EXISTS "{name}"'


def create(name: str, definition: str) -> tuple[str, str]:
    return drop(name), f'CREATE INDEX CONCURRENTLY "{name}" ON payouts_payout {definition}'


def add(definition: str, index: models.Index) -> migrations.RunSQL:
    return migrations.RunSQL(
        create(index.name, definition),
        drop(index.name),
        state_operations=[migrations.AddIndex("payout", index)],
    )


class Migration(migrations.Migration):
    atomic = False

    dependencies: ClassVar = [("payouts", "0007_operators")]

    operations: ClassVar[list[Operation]] = [
        TrigramExtension(),
        BtreeGinExtension(),
        *(add(definition, index) for definition, index in INDEXES.items()),
        # What payout_listed serves as well.
        migrations.RunSQL(
            drop("payout_list"),
            create("payout_list", f"(merchant_id, mode, {_NEWEST_FIRST}) {_LISTED}"),
            state_operations=[migrations.RemoveIndex("payout", "payout_list")],
        ),
        # How often a text is found decides whether to look for it in the index of texts or in the list. What ANALYZE
        # learns of an index's expression is not used for a condition on several columns; what it learns here is.
        migrations.RunSQL(
            [
                "DROP STATISTICS IF EXISTS payout_search_text",
                f"CREATE STATISTICS payout_search_text ON ({_TEXT}) FROM payouts_payout",
                "ANALYZE payouts_payout",
            ],
            "DROP STATISTICS IF EXISTS payout_search_text",
        ),
    ]
