"""Exports behind a transaction pooler: they may fail there, and none ever has what is another merchant's.

Two merchants export at the same time, through two forked web processes that share two sessions of PostgreSQL.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings as django_settings
from django.db import connection, connections, transaction

from accounts import services as accounts_services
from accounts.models import Merchant
from payouts import checks
from payouts.models import Export, Payout
from tests.chaos.crashing_servers import Server, wait_until
from tests.chaos.pgbouncer import running_pgbouncer
from tests.support import exporting, factories

pytestmark = pytest.mark.django_db(transaction=True)

logger = logging.getLogger(__name__)

#: Some fetches for each export.
PAYOUTS = 2_500
SECONDS = float(os.environ.get("PAYOUTS_PGBOUNCER_SECONDS", "6"))
#: Ended by the database or by us, and never by the caller.
ENDED = {"completed", "failed"}


@pytest.fixture
def web(tmp_path: Path, settings: Any) -> Iterator[Server]:
    database = connection.settings_dict
    with running_pgbouncer(tmp_path, database, pool_size=2) as pooler:
        environment = {
            "POSTGRES_HOST": "127.0.0.1",
            "POSTGRES_PORT": str(pooler.port),
            "POSTGRES_DB": database["NAME"],
            "POSTGRES_USER": database["USER"],
            "POSTGRES_PASSWORD": database["PASSWORD"],
            "PAYOUTS_PREPARED_STATEMENTS": "false",
            "DJANGO_SECRET_KEY": django_settings.SECRET_KEY,
            "DJANGO_ALLOWED_HOSTS": "127.0.0.1",
            "PAYOUTS_BEHIND_HTTPS": "false",
            "CELERY_BROKER_URL": django_settings.CELERY_BROKER_URL,
        }
        server = Server("web", tmp_path, environment=environment, workers=2, threads=2)
        try:
            server.start()
            server.wait()
            yield server
        finally:
            server.destroy()


def merchant_with_payouts(name: str) -> tuple[Merchant, str]:
    merchant = accounts_services.create_merchant(name)
    api_key, secret = accounts_services.issue_api_key(merchant, name="test")
    fields = factories.payout_fields(comment=name)
    Payout.objects.bulk_create(
        Payout(merchant=merchant, mode=api_key.mode, provider="sandbox", **fields) for _ in range(PAYOUTS)
    )
    return merchant, secret


def export(web: Server, secret: str) -> tuple[str, str, frozenset[uuid.UUID]]:
    """Export everything; return what came of it, the export's id, and the ids in it."""
    headers = {"Authorization": f"Api-Key {secret}"}
    data = b""
    export_id = ""
    try:
        with httpx.stream(
            "GET", f"{web.base_url}/api/payouts/export/", headers=headers, timeout=30, trust_env=False
        ) as answer:
            export_id = answer.headers.get("Payouts-Export-Id", "")
            for piece in answer.iter_bytes():
                data += piece
            if answer.status_code != 200:
                return str(answer.status_code), export_id, frozenset()
    except httpx.RemoteProtocolError:
        # The last line may be half of one.
        whole = data[: data.rfind(b"\r\n") + 2]
        return "broken", export_id, frozenset(exporting.ids(whole))
    return "whole", export_id, frozenset(exporting.ids(data))


def test_never_have_what_is_another_merchants(web: Server) -> None:
    merchants = [merchant_with_payouts(name) for name in ("acme", "globex")]
    own = {
        merchant.pk: frozenset(Payout.objects.filter(merchant=merchant).values_list("id", flat=True))
        for merchant, _ in merchants
    }
    ends_at = time.monotonic() + SECONDS

    def keep_exporting(merchant: Merchant, secret: str) -> list[tuple[Any, ...]]:
        made = []
        while time.monotonic() < ends_at:
            made.append((merchant.pk, *export(web, secret)))
        return made

    # Two of each at once, which is as many as a merchant may have.
    with ThreadPoolExecutor(4) as pool:
        made = [one for made in pool.map(lambda who: keep_exporting(*who), merchants * 2) for one in made]

    results = Counter(result for _, result, _, _ in made)
    logger.info("exports: %s", dict(results))
    assert [export_id for merchant, _, export_id, ids in made if ids - own[merchant]] == []
    wait_until(lambda: not Export.objects.unfinished().exists(), what="all exports have ended")
    ended = {str(one.pk): one for one in Export.objects.all()}
    for merchant, result, export_id, ids in made:
        if result == "whole":
            assert ids == own[merchant]
            assert (ended[export_id].status, ended[export_id].rows_count) == ("completed", PAYOUTS)
        elif result == "broken":
            assert ended[export_id].status in ENDED
    # It was a test of something: the pooler did get in their way.
    assert results.keys() - {"whole"} != set()


def test_drops_time_outs_and_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=2s -c statement_timeout=15s")
    behind = connections.create_connection("default")
    before = connection.settings_dict
    with running_pgbouncer(tmp_path, before, pool_size=2) as pooler, closing(behind):
        options = {**before["OPTIONS"], "prepare_threshold": None}
        behind.settings_dict = {**before, "HOST": "127.0.0.1", "PORT": str(pooler.port), "OPTIONS": options}
        direct, connections["default"] = connections["default"], behind
        try:
            messages = checks.check_time_outs(None, databases=["default"])
            with transaction.atomic(), behind.cursor() as cursor:
                cursor.execute("SELECT current_setting('lock_timeout'), current_setting('statement_timeout')")
                time_outs = cursor.fetchone()
        finally:
            connections["default"] = direct

    assert [message.id for message in messages] == ["payouts.W009"]
    assert time_outs == ("2s", "15s")
