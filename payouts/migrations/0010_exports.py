"""The tables of exports, which operators and auditors see."""

from __future__ import annotations

from typing import ClassVar

import django.db.models.deletion
import django.db.models.functions.datetime
import uuid_utils.compat
from django.contrib.auth.management import create_permissions
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import StateApps

GROUPS = ("Operators", "Auditors")
MODES = ("live", "test")
STATUSES = ("pending", "running", "completed", "failed", "canceled", "expired")
UNFINISHED = ("pending", "running")


def extend_groups(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    using = schema_editor.connection.alias
    app_config = apps.get_app_config("payouts")
    app_config.models_module = True  # type: ignore[assignment] # Without one the app is passed over.
    create_permissions(app_config, apps=apps, using=using, verbosity=0)
    app_config.models_module = None
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    # A group that the installation has renamed or removed is its own affair.
    for group in apps.get_model("auth", "Group").objects.using(using).filter(name__in=GROUPS):
        group.permissions.add(*permissions.filter(content_type__app_label="payouts", codename="view_export"))


class Migration(migrations.Migration):
    dependencies: ClassVar = [("accounts", "0001_initial"), ("payouts", "0009_rollup")]

    operations: ClassVar[list[Operation]] = [
        migrations.CreateModel(
            name="Export",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("mode", models.CharField(choices=[("live", "Live"), ("test", "Test")], max_length=4)),
                ("kind", models.CharField(choices=[("stream", "Stream"), ("job", "Job")], max_length=6)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("running", "Running"),
                            ("completed", "Completed"),
                            ("failed", "Failed"),
                            ("canceled", "Canceled"),
                            ("expired", "Expired"),
                        ],
                        default="pending",
                        max_length=9,
                    ),
                ),
                ("format", models.CharField(choices=[("csv", "CSV"), ("ndjson", "NDJSON")], max_length=6)),
                ("filters", models.JSONField(default=dict)),
                ("ordering", models.CharField(max_length=16)),
                ("actor", models.CharField(max_length=200)),
                ("rows_count", models.PositiveBigIntegerField(default=0)),
                ("amounts", models.JSONField(default=dict)),
                ("size_bytes", models.PositiveBigIntegerField(default=0)),
                ("sha256", models.CharField(blank=True, max_length=64)),
                ("stored_bytes", models.PositiveBigIntegerField(default=0)),
                ("error", models.CharField(blank=True, max_length=500)),
                ("attempts_count", models.PositiveSmallIntegerField(default=0)),
                ("lease_token", models.UUIDField(null=True)),
                ("lease_expires_at", models.DateTimeField(null=True)),
                ("rung_at", models.DateTimeField(null=True)),
                ("is_stored", models.BooleanField(default=False)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("started_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                ("expires_at", models.DateTimeField(null=True)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("mode__in", list(MODES))), name="export_mode_known"),
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["stream", "job"])), name="export_kind_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("status__in", list(STATUSES))), name="export_status_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("format__in", ["csv", "ndjson"])), name="export_format_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("lease_expires_at__isnull", False),
                                ("lease_token__isnull", False),
                                ("status", "running"),
                            ),
                            models.Q(
                                models.Q(("status", "running"), _negated=True),
                                ("lease_expires_at__isnull", True),
                                ("lease_token__isnull", True),
                            ),
                            _connector="OR",
                        ),
                        name="export_leased_while_running",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("finished_at__isnull", True), ("status__in", UNFINISHED)),
                            models.Q(
                                models.Q(("status__in", UNFINISHED), _negated=True), ("finished_at__isnull", False)
                            ),
                            _connector="OR",
                        ),
                        name="export_finished_once_final",
                    ),
                ],
                "indexes": [
                    models.Index(
                        condition=models.Q(("status__in", UNFINISHED)),
                        fields=["created_at"],
                        name="export_unfinished",
                    ),
                    models.Index(
                        condition=models.Q(("status", "completed")), fields=["expires_at"], name="export_expiring"
                    ),
                    models.Index(
                        condition=models.Q(("is_stored", True), ("status__in", ("failed", "canceled", "expired"))),
                        fields=["finished_at"],
                        name="export_to_erase",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ExportChunk",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField()),
                ("body", models.BinaryField()),
                (
                    "export",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="chunks",
                        to="payouts.export",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("export", "number"), name="export_chunk_number_unique")
                ],
            },
        ),
        migrations.RunPython(extend_groups, migrations.RunPython.noop),
        # Its foreign key waits for writes to merchants, and holds them up: last, so for no longer than it takes.
        migrations.AddField(
            model_name="export",
            name="merchant",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.merchant",
            ),
        ),
        migrations.AddIndex(
            model_name="export",
            index=models.Index(
                models.F("merchant"),
                models.F("mode"),
                models.OrderBy(models.F("created_at"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                name="export_list",
            ),
        ),
    ]
