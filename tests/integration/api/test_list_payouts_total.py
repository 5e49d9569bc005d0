from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client

from payouts.filters import count
from payouts.models import Payout

URL = "/api/payouts/"

MakePayout = Callable[..., Payout]


def time_limit() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        return str(cursor.fetchone()[0])


class TestTotal:
    def test_counts_what_the_filters_select_and_not_the_page(self, api: Client, make_payout: MakePayout) -> None:
        for currency in ("EUR", "EUR", "EUR", "USD"):
            make_payout(currency=currency)

        page = api.get(f"{URL}?include=total&currency=EUR&page_size=2").json()

        assert (page["total"], len(page["results"])) == (3, 2)

    def test_is_not_there_unless_it_is_asked_for(self, api: Client, make_payout: MakePayout) -> None:
        make_payout()
        make_payout()

        assert "total" not in api.get(URL).json()
        # Counted once: the pages that follow need not count again.
        following = api.get(f"{URL}?include=total&page_size=1").json()["next"]
        assert "total" not in api.get(following).json()
        assert api.get(f"{following}&include=total").json()["total"] == 2

    def test_leaves_others_out(self, api: Client, globex_api: Client, make_payout: MakePayout) -> None:
        make_payout()
        api.delete(f"{URL}{make_payout().id}/")

        assert api.get(f"{URL}?include=total").json()["total"] == 1
        assert globex_api.get(f"{URL}?include=total").json()["total"] == 0

    @pytest.mark.django_db(transaction=True)
    def test_is_null_where_counting_takes_too_long(
        self, api: Client, make_payout: MakePayout, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        payout = make_payout()
        slow = Payout.objects.extra(where=["pg_sleep(5) IS NOT NULL"])
        monkeypatch.setattr(count, "COUNTING_MS_MAX", 50)
        before = time_limit()

        assert count.count(slow) is None

        # Neither the connection nor its time limit is the worse for it.
        assert time_limit() == before
        assert [row["id"] for row in api.get(URL).json()["results"]] == [str(payout.id)]

    def test_leaves_no_limit_behind_in_the_transaction_of_the_caller(self, make_payout: MakePayout) -> None:
        make_payout()
        before = time_limit()

        assert count.count(Payout.objects.all()) == 1

        assert time_limit() == before != f"{count.COUNTING_MS_MAX}ms"
