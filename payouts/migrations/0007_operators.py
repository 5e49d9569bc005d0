"""The table of pauses. Operators may retry, resolve and ask about payouts, pause and resume the sending; they and
auditors see all of it.
"""

from __future__ import annotations

from typing import ClassVar

import django.db.models.deletion
import django.db.models.functions.datetime
from django.contrib.auth.management import create_permissions
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import StateApps

SEEN = ("view_providercallback", "view_pause", "view_providercircuit")
GROUPS = {
    "Operators": (*SEEN, "operate_payout"),
    "Auditors": SEEN,
}


def extend_groups(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    using = schema_editor.connection.alias
    app_config = apps.get_app_config("payouts")
    app_config.models_module = True  # type: ignore[assignment] # Without one the app is passed over.
    create_permissions(app_config, apps=apps, using=using, verbosity=0)
    app_config.models_module = None
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    for name, wanted in GROUPS.items():
        # A group that the installation has renamed or removed is its own affair.
        group = apps.get_model("auth", "Group").objects.using(using).filter(name=name).first()
        if group is not None:
            group.permissions.add(*permissions.filter(content_type__app_label="payouts", codename__in=wanted))


class Migration(migrations.Migration):
    dependencies: ClassVar = [("payouts", "0006_indexes")]

    operations: ClassVar[list[Operation]] = [
        # Its foreign key waits for writes to merchants: here, where nothing else is held meanwhile.
        migrations.CreateModel(
            name="Pause",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("provider", models.CharField(blank=True, max_length=32)),
                ("reason", models.CharField(max_length=500)),
                ("actor", models.CharField(max_length=200)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("ended_at", models.DateTimeField(null=True)),
                ("ended_by", models.CharField(blank=True, max_length=200)),
            ],
        ),
        migrations.AddField(
            model_name="pause",
            name="merchant",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.merchant",
            ),
        ),
        migrations.AddConstraint(
            model_name="pause",
            constraint=models.CheckConstraint(
                condition=models.Q(("merchant__isnull", True), ("provider", ""), _connector="OR"),
                name="pause_has_one_scope",
            ),
        ),
        migrations.AddConstraint(
            model_name="pause",
            constraint=models.UniqueConstraint(
                models.F("merchant"),
                models.F("provider"),
                condition=models.Q(("ended_at__isnull", True)),
                name="pause_once_at_a_time",
                nulls_distinct=False,
            ),
        ),
        migrations.RunPython(extend_groups, migrations.RunPython.noop),
    ]
