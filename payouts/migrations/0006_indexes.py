"""Indexes for the engine, made CONCURRENTLY beside the requests that go on.

Whatever interrupts it, it can be run again: each step first removes what an interrupted one has left.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models
from django.db.migrations.operations.base import Operation


def drop(name: str) -> str:
    return f'DROP INDEX CONCURRENTLY IF EXISTS "{name}"'


def create(name: str, definition: str) -> tuple[str, str]:
    return drop(name), f'CREATE INDEX CONCURRENTLY "{name}" ON payouts_payout {definition}'


class Migration(migrations.Migration):
    atomic = False

    dependencies: ClassVar = [("payouts", "0005_attempts")]

    operations: ClassVar[list[Operation]] = [
        migrations.RunSQL(
            create("payout_leased", "(provider, lease_expires_at) WHERE lease_expires_at IS NOT NULL"),
            drop("payout_leased"),
            state_operations=[
                migrations.AddIndex(
                    "payout",
                    models.Index(
                        fields=["provider", "lease_expires_at"],
                        condition=models.Q(lease_expires_at__isnull=False),
                        name="payout_leased",
                    ),
                ),
            ],
        ),
        migrations.RunSQL(
            create("payout_turned_away", "(provider, due_at) WHERE turned_away_at IS NOT NULL"),
            drop("payout_turned_away"),
            state_operations=[
                migrations.AddIndex(
                    "payout",
                    models.Index(
                        fields=["provider", "due_at"],
                        condition=models.Q(turned_away_at__isnull=False),
                        name="payout_turned_away",
                    ),
                ),
            ],
        ),
        migrations.RunSQL(
            create(
                "payout_for_operator",
                "(updated_at) WHERE status = 'requires_attention' OR contradicted_at IS NOT NULL",
            ),
            drop("payout_for_operator"),
            state_operations=[
                migrations.AddIndex(
                    "payout",
                    models.Index(
                        "updated_at",
                        condition=models.Q(status="requires_attention") | models.Q(contradicted_at__isnull=False),
                        name="payout_for_operator",
                    ),
                ),
            ],
        ),
    ]
