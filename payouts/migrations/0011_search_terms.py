"""`search` finds two Chinese, Japanese or Korean characters, any form of a character, and a recipient that is a text.

The index is made CONCURRENTLY beside the old one, and the old one dropped then: the version before still answers, from
the merchant's other indexes. On five million payouts it takes about a minute. It can be run again if it is interrupted.
"""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import migrations, models
from django.db.migrations.operations.base import Operation

from payouts.models.indexes import SearchText

_LISTED = "WHERE deleted_at IS NULL"
_LINES = (
    "comment || chr(10) || reference || chr(10) || COALESCE(recipient_details ->> 'name', '') || chr(10) || "
    "COALESCE(recipient_details ->> 'account', '')"
)
_OLD = f"UPPER({_LINES})"
_ALL_LINES = (
    f"({_LINES} || chr(10) || CASE WHEN jsonb_typeof(recipient_details) = 'string' "
    "THEN recipient_details #>> '{}' ELSE '' END)"
)
_TEXT = f"UPPER(normalize({_ALL_LINES}, NFC))"
_CODE = (
    rf"translate(encode(decode(regexp_replace({_TEXT}, '[\u0001-\u007f]+', '', 'g'), 'escape'), 'hex'), "
    "'0123456789abcdef', 'ghijklmnopqrstuv')"
)
_NEW = (
    f"(CASE WHEN octet_length({_ALL_LINES}) = char_length({_ALL_LINES}) THEN UPPER({_ALL_LINES}) "
    f"ELSE {_TEXT} || chr(10) || {_CODE} END)"
)


def drop(name: str) -> str:
    return f'DROP INDEX CONCURRENTLY IF EXISTS "{name}"'


def create(name: str, text: str) -> tuple[str, ...]:
    definition = f"USING gin (merchant_id, {text} gin_trgm_ops) {_LISTED}"
    return drop(name), f'CREATE INDEX CONCURRENTLY "{name}" ON payouts_payout {definition}'


def learn(text: str) -> tuple[str, ...]:
    """How often a text is found decides whether to look for it in this index or in the list (0008)."""
    return (
        "DROP STATISTICS IF EXISTS payout_search_text",
        f"CREATE STATISTICS payout_search_text ON ({text}) FROM payouts_payout",
        "ANALYZE payouts_payout",
    )


class Migration(migrations.Migration):
    atomic = False

    dependencies: ClassVar = [("payouts", "0010_exports")]

    operations: ClassVar[list[Operation]] = [
        migrations.RunSQL(
            create("payout_search_terms", _NEW),
            drop("payout_search_terms"),
            state_operations=[
                migrations.AddIndex(
                    "payout",
                    GinIndex(
                        models.F("merchant"),
                        OpClass(SearchText(), name="gin_trgm_ops"),
                        condition=models.Q(deleted_at__isnull=True),
                        name="payout_search_terms",
                    ),
                )
            ],
        ),
        migrations.RunSQL(learn(_NEW), learn(_OLD)),
        migrations.RunSQL(
            drop("payout_search"),
            create("payout_search", _OLD),
            state_operations=[migrations.RemoveIndex("payout", "payout_search")],
        ),
    ]
