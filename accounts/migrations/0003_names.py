"""Names are one line each (accounts/texts.py)."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models
from django.db.migrations.operations.base import Operation

from accounts.validators import validate_line


class Migration(migrations.Migration):
    dependencies: ClassVar = [("accounts", "0002_scope_labels")]

    operations: ClassVar[list[Operation]] = [
        migrations.AlterField("merchant", "name", models.CharField(max_length=100, validators=[validate_line])),
        migrations.AlterField(
            "merchantapikey",
            "name",
            models.CharField(
                help_text="What it is for, so that others know it in the list.",
                max_length=50,
                validators=[validate_line],
            ),
        ),
    ]
