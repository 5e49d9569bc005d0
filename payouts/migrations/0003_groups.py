"""The groups of people who work in the admin, and what each may do there.

Operators       look at payouts with their history and attempts, at idempotency records, merchants and API keys;
                change merchants: rename, suspend, activate, require an Idempotency-Key.
Key managers    look at merchants; look at, issue, rename, rotate and revoke API keys.
Auditors        look at everything, users and groups included, and change nothing.

Creating merchants, users and groups is left to superusers, or to whom they give it. Nobody can delete anything.
A group of one of these names that is there already keeps its permissions and gains those that it lacks.
"""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth.management import create_permissions
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import StateApps

APPS = ("auth", "accounts", "idempotency", "payouts")

VIEW_PAYOUTS = (
    "payouts.view_payout",
    "payouts.view_payouttransition",
    "payouts.view_payoutattempt",
    "idempotency.view_idempotencyrecord",
)
GROUPS = {
    "Operators": (
        *VIEW_PAYOUTS,
        "accounts.view_merchant",
        "accounts.change_merchant",
        "accounts.view_merchantapikey",
    ),
    "Key managers": (
        "accounts.view_merchant",
        "accounts.view_merchantapikey",
        "accounts.add_merchantapikey",
        "accounts.change_merchantapikey",
    ),
    "Auditors": (
        *VIEW_PAYOUTS,
        "accounts.view_merchant",
        "accounts.view_merchantapikey",
        "auth.view_user",
        "auth.view_group",
    ),
}


def create_groups(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    using = schema_editor.connection.alias
    for label in APPS:
        _create_permissions(apps, label, using=using)
    group_model = apps.get_model("auth", "Group")
    permission_model = apps.get_model("auth", "Permission")
    for name, wanted in GROUPS.items():
        group, _ = group_model.objects.using(using).get_or_create(name=name)
        for permission in wanted:
            app_label, codename = permission.split(".")
            group.permissions.add(
                permission_model.objects.using(using).get(content_type__app_label=app_label, codename=codename)
            )


def _create_permissions(apps: StateApps, label: str, *, using: str) -> None:
    """Django does it only when all migrations are through, which on a new database is too late for us."""
    app_config = apps.get_app_config(label)
    app_config.models_module = True  # type: ignore[assignment] # Without one the app is passed over.
    create_permissions(app_config, apps=apps, using=using, verbosity=0)
    app_config.models_module = None


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("accounts", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("idempotency", "0001_initial"),
        ("payouts", "0002_guards"),
    ]

    operations: ClassVar[list[Operation]] = [
        # The groups stay when it is undone: people are in them.
        migrations.RunPython(create_groups, migrations.RunPython.noop),
    ]
