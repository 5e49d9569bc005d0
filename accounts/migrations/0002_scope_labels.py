"""What the scopes are called in the admin. Nothing changes in the database."""

from __future__ import annotations

from typing import ClassVar

import django.contrib.postgres.fields
from django.db import migrations, models
from django.db.migrations.operations.base import Operation

import accounts.models


class Migration(migrations.Migration):
    dependencies: ClassVar = [("accounts", "0001_initial")]

    operations: ClassVar[list[Operation]] = [
        migrations.AlterField(
            model_name="merchantapikey",
            name="scopes",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(
                    choices=[
                        ("payouts:read", "Read, list, sum and export payouts"),
                        ("payouts:write", "Ask for, change and cancel payouts"),
                        ("reports:read", "List, sum and export payouts only"),
                    ],
                    max_length=32,
                ),
                default=accounts.models.every_scope,
                size=None,
            ),
        ),
    ]
