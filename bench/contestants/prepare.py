"""Make a contestant's tables and its payouts to list; print an API key, if it has any.

BENCH_DATABASE=... DJANGO_SETTINGS_MODULE=... python -m bench.contestants.prepare PAYOUTS
"""

from __future__ import annotations

import sys
from typing import Any

import django

django.setup()

from django.apps import apps
from django.conf import settings
from django.core.management import call_command


def main() -> None:
    call_command("migrate", run_syncdb=True, verbosity=0)
    payout: Any = apps.get_model(settings.INSTALLED_APPS[-1].rpartition(".")[2], "Payout")
    payout.objects.bulk_create(
        payout(amount="10.50", currency="EUR", recipient_details={"name": "Jane Doe", "account": "sandbox_paid"})
        for _ in range(int(sys.argv[1]))
    )
    if apps.is_installed("rest_framework_api_key"):
        api_key: Any = apps.get_model("rest_framework_api_key", "APIKey")
        print(api_key.objects.create_key(name="bench")[1])


if __name__ == "__main__":
    main()
