"""Names of merchants are unique, and found, by one rule (accounts/names.py), and are one line (rest/texts.py).

All or nothing. The version before goes on: it writes no key, which is written for it later (services.key_names), and
its own constraint `merchant_name_unique` stays for it.

Each request reads its merchant, so the migration does not wait long for the table, and writes many keys at once while
it has it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import ClassVar

from django.core.management.base import CommandError
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import StateApps

from accounts import names
from accounts.validators import validate_line, validate_merchant_name
from postgres import migration_locks

#: Merchants of one UPDATE.
BATCH = 500


def write_keys(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Write them, or undo the migration: which of two merchants keeps a name is for people to say."""
    merchants = apps.get_model("accounts", "Merchant").objects.using(schema_editor.connection.alias)
    alike: dict[str, list[str]] = defaultdict(list)
    keyed = list(merchants.order_by("id"))
    for merchant in keyed:
        merchant.name_key, merchant.keyed_name = names.key_of(merchant.name), merchant.name
        alike[merchant.name_key].append(f"{merchant.name!a} ({merchant.pk})")
    clashes = [" and ".join(found) for found in alike.values() if len(found) > 1]
    if clashes:
        raise CommandError(
            f"These merchants have one name in different spellings: {'; '.join(clashes)}. Nothing was changed. Rename "
            "all but one of each, in the admin of the version that is running, and migrate again."
        )
    merchants.bulk_update(keyed, ["name_key", "keyed_name"], batch_size=BATCH)


class Migration(migrations.Migration):
    dependencies: ClassVar = [("accounts", "0002_scope_labels")]

    operations: ClassVar[list[Operation]] = [
        migrations.RunPython(migration_locks.lock("accounts_merchant"), migrations.RunPython.noop),
        migrations.AlterField(
            "merchant", "name", models.CharField(max_length=100, validators=[validate_merchant_name])
        ),
        migrations.AlterField(
            "merchantapikey",
            "name",
            models.CharField(
                help_text="What it is for, so that others know it in the list.",
                max_length=50,
                validators=[validate_line],
            ),
        ),
        migrations.AddField(
            "merchant", "name_key", models.CharField(editable=False, max_length=names.KEY_LENGTH_MAX, null=True)
        ),
        migrations.AddField("merchant", "keyed_name", models.CharField(editable=False, max_length=100, null=True)),
        migrations.RunPython(write_keys, migrations.RunPython.noop),
        migrations.AddConstraint(
            "merchant", models.UniqueConstraint(fields=["name_key"], name="merchant_name_key_unique")
        ),
        migrations.RunPython(migrations.RunPython.noop, migration_locks.lock("accounts_merchant")),
    ]
