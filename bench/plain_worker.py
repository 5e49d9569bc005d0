"""The worker that people write themselves: a Celery task for each payout, with two ORM updates. The baseline of ours.

Its table has the columns that it needs and no more, no history, no lease and no trigger. It keeps its connection
between tasks (CELERY_DB_REUSE_MAX), as ours does.
"""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("plain")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.task_routes = {}
app.conf.task_default_queue = "plain"

TABLE = """
    CREATE TABLE IF NOT EXISTS bench_plain (
        id uuid PRIMARY KEY, amount numeric NOT NULL, account text NOT NULL, status text NOT NULL,
        updated_at timestamptz NOT NULL DEFAULT now()
    );
    CREATE INDEX IF NOT EXISTS bench_plain_status ON bench_plain (status);
    TRUNCATE bench_plain
"""


@app.task(name="plain.process", ignore_result=True)
def process(payout_id: str) -> None:
    from django.utils import timezone  # noqa: PLC0415 - Django is set up by the worker

    from bench.plain_models import PlainPayout  # noqa: PLC0415 - it needs Django to be set up

    payout = PlainPayout.objects.get(pk=payout_id)
    payout.status, payout.updated_at = "processing", timezone.now()
    payout.save()
    payout.status, payout.updated_at = pay(payout.account), timezone.now()
    payout.save()


def pay(account: str) -> str:
    """Do as the sandbox does for this account."""
    return "failed" if account == "sandbox_rejected" else "paid"
