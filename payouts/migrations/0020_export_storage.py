"""An index of what is kept of exports, made CONCURRENTLY beside the requests that go on.

Whatever interrupts it, it can be run again: it first removes what an interrupted one has left.
"""

from __future__ import annotations

from typing import ClassVar, Final

from django.db import migrations, models
from django.db.migrations.operations.base import Operation

DROP: Final = 'DROP INDEX CONCURRENTLY IF EXISTS "export_kept"'
CREATE: Final = (
    'CREATE INDEX CONCURRENTLY "export_kept" ON "payouts_export" ("merchant_id", "started_at") WHERE "is_stored"'
)


class Migration(migrations.Migration):
    atomic = False

    dependencies: ClassVar = [("payouts", "0019_lane_circuits")]

    operations: ClassVar[list[Operation]] = [
        migrations.RunSQL(
            [DROP, CREATE],
            DROP,
            state_operations=[
                migrations.AddIndex(
                    "export",
                    models.Index(
                        fields=["merchant", "started_at"], condition=models.Q(is_stored=True), name="export_kept"
                    ),
                ),
            ],
        ),
    ]
