"""How large a streamed export may be, and how many there may be at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from psycopg.errors import QueryCanceled

from accounts.models import Merchant
from payouts.exports import cursor, lifecycle, streams, views
from payouts.models import Export, Payout
from tests.support import answers, database, exporting, factories, racing

URL = "/api/payouts/export/"

MakePayout = Callable[..., Payout]


class TestTooLarge:
    @pytest.mark.django_db(transaction=True)
    def test_is_refused_with_a_problem_document(
        self, api: Client, make_payout: MakePayout, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_payout()
        monkeypatch.setattr(views.PayoutExportView, "limits", streams.Limits(reading_seconds=0.2))
        with database.holding("payouts_payout"):
            response = api.get(URL)

        assert answers.code(response) == (400, "export_too_large")
        assert "POST /api/exports/" in response.json()["detail"]
        export = Export.objects.get()
        assert (export.status, export.error) == ("failed", response.json()["detail"])
        # Nothing is left of it that would be in the way of the next.
        assert len(exporting.ids(api.get(URL).getvalue())) == 1

    def test_that_the_database_gives_up_is_a_problem_document_too(
        self, api: Client, make_payout: MakePayout, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_payout()

        def canceled(*_: Any, **__: Any) -> None:
            raise OperationalError("canceling statement") from QueryCanceled("canceling statement")

        monkeypatch.setattr(cursor, "read", canceled)

        assert answers.code(api.get(URL)) == (503, "database_busy")
        assert Export.objects.get().status == "failed"


class TestAtOnce:
    @pytest.fixture
    def open_two(self, api: Client, make_payout: MakePayout) -> Iterator[list[Any]]:
        """Two exports that are being sent."""
        make_payout()
        responses: list[Any] = [api.get(URL), api.get(URL)]
        yield responses
        for response in responses:
            exporting.leave(response)

    def test_there_are_two_at_most(self, api: Client, open_two: list[Any]) -> None:
        refused = api.get(URL)

        assert answers.code(refused) == (429, "too_many_exports")
        assert refused.headers["Retry-After"] == "10"
        assert Export.objects.count() == 2

    def test_one_that_has_ended_makes_room(self, api: Client, open_two: list[Any]) -> None:
        open_two[0].getvalue()

        assert len(exporting.ids(api.get(URL).getvalue())) == 1

    def test_one_whose_process_died_makes_room(self, api: Client, open_two: list[Any]) -> None:
        exporting.run_out(Export.objects.order_by("id")[0])

        assert len(exporting.ids(api.get(URL).getvalue())) == 1

    def test_others_have_room_of_their_own(self, acme: Merchant, globex_api: Client, open_two: list[Any]) -> None:
        other_mode = factories.client_of(acme, mode="live")

        assert [client.get(URL).getvalue()[:2] for client in (globex_api, other_mode)] == [b"id", b"id"]

    @pytest.mark.django_db(transaction=True)
    def test_of_many_that_ask_at_once_two_are_let_through(self, acme: Merchant, make_payout: MakePayout) -> None:
        key = make_payout().merchant.api_keys.get()

        def begin() -> Export:
            return lifecycle.create_stream(exporting.spec(), api_key=key, actor="merchant:test")

        results = racing.run_together(*[begin] * 5)

        assert sorted(type(result).__name__ for result in results) == [*["Export"] * 2, *["TooManyExports"] * 3]
        assert Export.objects.held().count() == 2
