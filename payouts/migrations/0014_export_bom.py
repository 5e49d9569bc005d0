"""Whether a CSV begins with a byte order mark. The version before writes none, and goes on."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models
from django.db.migrations.operations.base import Operation

from postgres import migration_locks

lock_exports = migration_locks.lock("payouts_export")


class Migration(migrations.Migration):
    dependencies: ClassVar = [("payouts", "0013_recipient_forms")]

    operations: ClassVar[list[Operation]] = [
        migrations.RunPython(lock_exports, migrations.RunPython.noop),
        migrations.AddField("export", "bom", models.BooleanField(default=False, db_default=False)),
        migrations.RunPython(migrations.RunPython.noop, lock_exports),
    ]
