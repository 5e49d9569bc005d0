"""How PostgreSQL finds what is asked for: by an index, whatever the filters. On a smaller table than that of
`make bench-reports`, with statistics, and with nothing switched off.
"""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import services as accounts_services
from accounts.models import Merchant
from tests.support import factories

MERCHANTS = 60
PAYOUTS = 60_000
# A fifth of them are of the first merchant; the others share the rest.
SEED = """
INSERT INTO payouts_payout (
    id, merchant_id, mode, status, amount, currency, recipient_details, comment, reference, metadata, idempotency_key,
    provider, provider_reference, failure_code, failure_message, attempts_count, due_at, version, completed_at,
    created_at, updated_at
)
SELECT
    gen_random_uuid(), (%s::uuid[])[CASE WHEN number %% 5 = 0 THEN 1 ELSE 2 + number %% 59 END], 'test',
    CASE WHEN number %% 97 = 0 THEN 'returned' WHEN number %% 20 = 0 THEN 'failed' ELSE 'paid' END,
    (number * 7919 %% 1000000) / 100.0 + 1, (ARRAY['EUR', 'EUR', 'EUR', 'USD', 'GBP'])[1 + number / 5 %% 5],
    jsonb_build_object(
        'name', CASE WHEN number %% 2000 = 0 THEN '\u738b\u5c0f' ELSE 'Jane Doe ' || number END,
        'account', 'DE' || lpad(number::text, 20, '0')
    ),
    'Refund of order ' || number, 'order-' || number, jsonb_build_object('batch', 'b-' || number / 50),
    'key-' || number, 'sandbox', '', '', '', 1, NULL, 1, now(),
    now() - interval '365 days' * (1 - number::float / %s), now() - interval '365 days' * (1 - number::float / %s)
FROM generate_series(1, %s) AS number
"""

# Two characters; three letters of which none is one in the locale of this database; and none of either.
RARE_TERMS = {"\u738b\u5c0f": 30, "\u5c0f\u738b": 0, "\u0418\u0432\u0430": 0, "order-4710": 3}


@pytest.fixture
def largest(db: None) -> Client:
    """The backend of the merchant that has a fifth of all payouts."""
    merchants = [accounts_services.create_merchant(f"merchant {number}") for number in range(MERCHANTS)]
    with connection.cursor() as cursor:
        # They are born in their last status, which a trigger would refuse.
        cursor.execute("ALTER TABLE payouts_payout DISABLE TRIGGER USER")
        cursor.execute(SEED, [[merchant.pk for merchant in merchants], PAYOUTS, PAYOUTS, PAYOUTS])
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE payouts_payout ENABLE TRIGGER USER")
        cursor.execute("ANALYZE payouts_payout")
    client: Client = factories.client_of(Merchant.objects.get(pk=merchants[0].pk))
    return client


def queries() -> list[dict[str, str]]:
    recently = (timezone.now() - timedelta(days=3)).isoformat()
    long_ago = (timezone.now() - timedelta(days=300)).isoformat()
    filters = [
        {},
        {"status": "paid"},
        {"status": "failed"},
        {"status": "failed,returned"},
        {"status": "requires_attention"},
        {"currency": "EUR"},
        {"currency": "CHF"},
        {"amount_min": "10", "amount_max": "11"},
        {"amount_max": "0"},
        {"created_after": recently},
        {"created_before": long_ago},
        {"updated_after": recently},
        {"updated_before": long_ago},
        {"reference": "order-4710"},
        {"idempotency_key": "key-4710"},
        {"search": "order-4710"},
        {"search": "refund"},
        {"search": "nowhere to be found"},
        {"search": "\u738b\u5c0f"},
        {"search": "\u0418\u0432\u0430"},
        {"metadata[batch]": "b-4711"},
        {"metadata[batch]": "none"},
        {"status": "paid", "currency": "EUR", "amount_min": "10", "created_after": recently},
        {"status": "returned", "currency": "CHF", "amount_min": "9000", "updated_after": recently},
    ]
    return [{**query, "ordering": ordering} for query in filters for ordering in ("-created_at", "amount")]


def plans(client: Client, url: str) -> str:
    """Return the plans of all statements of the request that read payouts."""
    with CaptureQueriesContext(connection) as captured:
        response = client.get(url)
    assert response.status_code == 200, response.content
    statements = [query["sql"] for query in captured if 'FROM "payouts_payout"' in query["sql"]]
    assert statements, url
    with connection.cursor() as cursor:
        lines = []
        for statement in statements:
            cursor.execute(f"EXPLAIN {statement}")
            lines += [line for (line,) in cursor.fetchall()]
    return "\n".join(lines)


class TestPlans:
    def test_of_everything(self, largest: Client, subtests: pytest.Subtests) -> None:
        """All on one table: to fill it takes longer than to ask for all plans."""
        for check in (
            lists_scan_no_table,
            rare_terms_use_the_index_of_terms,
            later_pages_begin_where_the_page_does,
            sums_scan_no_table,
            plans_are_made_for_the_values_and_not_kept,
        ):
            with subtests.test(check.__name__):
                check(largest)


def lists_scan_no_table(largest: Client) -> None:
    for query in queries():
        plan = plans(largest, f"/api/payouts/?{urlencode(query)}")
        assert "Seq Scan on payouts_payout" not in plan, (query, plan)


def rare_terms_use_the_index_of_terms(largest: Client) -> None:
    for term, count in RARE_TERMS.items():
        url = f"/api/payouts/?{urlencode({'search': term})}"

        plan = plans(largest, url)

        assert "Bitmap Index Scan on payout_search_terms" in plan, ascii(term)
        assert largest.get(f"{url}&include=total").json()["total"] == count, ascii(term)


def later_pages_begin_where_the_page_does(largest: Client) -> None:
    for ordering in ("created_at", "-created_at", "amount", "-amount"):
        following = largest.get(f"/api/payouts/?ordering={ordering}").json()["next"]

        plan = plans(largest, following)

        # No rows are read and thrown away, and none sorted.
        assert "Index Scan" in plan, ordering
        assert f"(ROW({ordering.strip('-')}, id)" in plan
        assert "Sort" not in plan, ordering
        assert "Filter" not in plan, ordering


def sums_scan_no_table(largest: Client) -> None:
    recently = (timezone.now() - timedelta(days=3)).isoformat()
    for query in ({"created_after": recently}, {"status": "failed"}, {"search": "order-4710"}):
        plan = plans(largest, f"/api/payouts/summary/?{urlencode(query)}")
        assert "Seq Scan on payouts_payout" not in plan, (query, plan)


def plans_are_made_for_the_values_and_not_kept(largest: Client) -> None:
    """A statement that comes back often is prepared otherwise, and then planned once for all merchants."""
    for _ in range(12):
        largest.get("/api/payouts/?currency=EUR&status=failed")

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%payouts_payout%'")
        assert cursor.fetchone() == (0,)
