"""What the admin shows of providers: their callbacks, and how they have been doing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import Client

from accounts.models import Merchant
from payouts.models import CallbackResult, LaneCircuit, Payout, ProviderCallback, ProviderCircuit
from tests.integration.admin import pages
from tests.support.admin_lists import listed, rows_of_inlines, statements

MakePayout = Callable[..., Payout]
NASTY = b"<script>1</script> \xff\xfe \x00 \xe2\x82\xac"


@pytest.fixture
def make_callback(db: None) -> Callable[..., ProviderCallback]:
    def make(result: str = "", *, body: bytes = b"{}", payout: Payout | None = None) -> ProviderCallback:
        return ProviderCallback.objects.create(
            provider="http_bank",
            event_id=f"event-{ProviderCallback.objects.count()}",
            body=body,
            applied_at=Now() if result else None,
            result=result,
            payout=payout,
        )

    return make


MakeCallback = Callable[..., ProviderCallback]


class TestAlarm:
    @pytest.fixture
    def alarming(self, make_callback: MakeCallback) -> ProviderCallback:
        callback = make_callback("no_payout")
        ProviderCallback.objects.filter(pk=callback.pk).update(alarmed_at=Now())
        return callback

    def test_is_listed(self, operator: Client, alarming: ProviderCallback, make_callback: MakeCallback) -> None:
        make_callback("no_payout")

        assert listed(operator.get(pages.CALLBACKS, {"needs_operator": "yes"})) == [alarming.pk]

    def test_is_cleared_with_a_reason(self, operator: Client, alarming: ProviderCallback) -> None:
        address = pages.page_of(alarming, "clear")
        assert f'href="{address}"' in operator.get(pages.page_of(alarming)).content.decode()
        assert "no payout explains" in operator.get(address).content.decode()
        asked_again = operator.post(address, {"reason": " "})
        assert asked_again.context["form"].errors["reason"] == ["This field is required."]

        response = operator.post(address, {"reason": "of another system"}, follow=True)

        alarming.refresh_from_db()
        assert pages.messages(response) == [("success", "The alarm is cleared.")]
        assert (alarming.alarmed_at, alarming.cleared_by) == (None, "operator:member of Operators")
        assert alarming.cleared_reason == "of another system"
        assert f'href="{address}"' not in response.content.decode()
        again = operator.post(address, {"reason": "once more"}, follow=True)
        assert [level for level, _ in pages.messages(again)] == ["error"]

    def test_is_not_an_auditors_to_clear(self, auditor: Client, alarming: ProviderCallback) -> None:
        address = pages.page_of(alarming, "clear")

        assert f'href="{address}"' not in auditor.get(pages.page_of(alarming)).content.decode()
        assert auditor.post(address, {"reason": "x"}).status_code == 403
        assert operator_of(alarming) == ""


def operator_of(callback: ProviderCallback) -> str:
    return ProviderCallback.objects.get(pk=callback.pk).cleared_by


class TestCallbacks:
    def test_is_newest_first_and_leads_to_the_payout(
        self, operator: Client, make_payout: MakePayout, make_callback: MakeCallback
    ) -> None:
        payout = make_payout()
        first, second = make_callback("applied", payout=payout), make_callback()

        response = operator.get(pages.CALLBACKS)

        text = response.content.decode()
        assert listed(response) == [second.pk, first.pk]
        assert f'href="{pages.page_of(payout)}"' in text
        assert "Not applied yet" in text

    def test_filters_by_result(self, operator: Client, make_callback: MakeCallback) -> None:
        made = {result: make_callback(result).pk for result in ("", *CallbackResult.values)}

        for result, callback_id in made.items():
            response = operator.get(pages.CALLBACKS, {"result": result or "waiting"})
            assert listed(response) == [callback_id], result
        assert listed(operator.get(pages.CALLBACKS, {"result": "nonsense"})) == []

    def test_looks_for_a_result_among_the_newest_alone(
        self, operator: Client, make_callback: MakeCallback, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("payouts.admin.providers.SEARCHED_MAX", 1)
        make_callback("known")
        newest = make_callback("known")

        assert listed(operator.get(pages.CALLBACKS, {"result": "known"})) == [newest.pk]

    def test_finds_those_of_one_payout(
        self, operator: Client, make_payout: MakePayout, make_callback: MakeCallback
    ) -> None:
        payout = make_payout()
        wanted = make_callback("applied", payout=payout)
        make_callback("no_payout")

        assert listed(operator.get(pages.CALLBACKS, {"q": f" {payout.pk} "})) == [wanted.pk]
        assert listed(operator.get(pages.CALLBACKS, {"q": "event-0"})) == []

    @pytest.mark.parametrize("query", [{"q": "\x00"}, {"result": "\x00"}, {"body__contains": "x"}])
    def test_answers_a_bad_query_without_falling_over(self, operator: Client, query: dict[str, str]) -> None:
        assert operator.get(pages.CALLBACKS, query).status_code == 400

    def test_is_not_counted(self, operator: Client, make_callback: MakeCallback) -> None:
        make_callback("known")

        for query in ("", "?result=known", "?result=waiting"):
            assert [sql for sql in statements(operator, f"{pages.CALLBACKS}{query}") if "COUNT(" in sql] == []

    @pytest.mark.parametrize("action", ["change", "delete"])
    def test_changes_nothing(self, superuser: Client, make_callback: MakeCallback, action: str) -> None:
        callback = make_callback("known")

        response = superuser.post(pages.page_of(callback, action), {"result": "applied", "post": "yes"})

        assert response.status_code == 403
        assert ProviderCallback.objects.get().result == "known"


class TestBody:
    @pytest.mark.parametrize("place", ["callback", "payout"])
    def test_is_shown_as_text_whatever_it_is(
        self, operator: Client, make_payout: MakePayout, make_callback: MakeCallback, place: str
    ) -> None:
        payout = make_payout()
        callback = make_callback("contradicted", body=NASTY, payout=payout)

        text = operator.get(pages.page_of({"callback": callback, "payout": payout}[place])).content.decode()

        assert "&lt;script&gt;1&lt;/script&gt; \ufffd\ufffd \ufffd \u20ac" in text
        assert "<script>1" not in text

    @pytest.mark.parametrize("place", ["callback", "payout"])
    def test_is_shown_as_far_as_a_person_reads(
        self, operator: Client, make_payout: MakePayout, make_callback: MakeCallback, place: str
    ) -> None:
        payout = make_payout()
        callback = make_callback("known", body=b"y" * 4096 + b"z" * 1000, payout=payout)

        address = pages.page_of({"callback": callback, "payout": payout}[place])
        text = operator.get(address).content.decode()

        assert "y" * 4096 in text
        # A few may stand in a token of the page.
        assert "z" * 10 not in text
        assert "... and 1000 bytes more" in text
        assert [sql for sql in statements(operator, address) if ', "payouts_providercallback"."body"' in sql] == []

    def test_an_empty_one_is_shown_too(self, operator: Client, make_callback: MakeCallback) -> None:
        assert operator.get(pages.page_of(make_callback("unreadable", body=b""))).status_code == 200

    def test_of_many_the_last_ten_stand_below_the_payout(
        self, operator: Client, make_payout: MakePayout, make_callback: MakeCallback
    ) -> None:
        payout = make_payout()
        made = [make_callback("known", payout=payout) for _ in range(12)]

        last = rows_of_inlines(operator.get(pages.page_of(payout)))[2]
        first = rows_of_inlines(operator.get(pages.page_of(payout), {"callbacks-page": "1"}))[2]

        assert (last, first) == (made[10:], made[:10])


class TestCircuits:
    def test_says_how_each_provider_is_doing(self, operator: Client) -> None:
        for provider, seconds in (("open_bank", 60), ("trial_bank", -60), ("closed_bank", None)):
            at = None if seconds is None else Now() + timedelta(seconds=seconds)
            ProviderCircuit.objects.create(provider=provider, failures_count=7, opened_at=at and Now(), retry_at=at)

        response = operator.get(pages.CIRCUITS)

        rows: list[Any] = list(response.context["cl"].result_list)
        model_admin = response.context["cl"].model_admin
        assert [(row.provider, model_admin.show_state(row)) for row in rows] == [
            ("closed_bank", "Closed"),
            ("open_bank", "Open"),
            ("trial_bank", "To be tried"),
        ]

    def test_tells_held_merchants_from_the_provider(self, operator: Client, acme: Merchant, globex: Merchant) -> None:
        ProviderCircuit.objects.create(provider="recovering_bank", sends_max=4)
        for merchant, opened_at in ((acme, Now()), (globex, None)):
            LaneCircuit.objects.create(
                provider="recovering_bank", mode="live", merchant=merchant, opened_at=opened_at, retry_at=opened_at
            )

        response = operator.get(pages.CIRCUITS)

        (row,) = response.context["cl"].result_list
        model_admin = response.context["cl"].model_admin
        assert (model_admin.show_state(row), model_admin.show_lanes(row)) == ("Recovering", "acme")

    def test_changes_nothing(self, superuser: Client) -> None:
        circuit = ProviderCircuit.objects.create(provider="http_bank", failures_count=1)

        assert superuser.post(pages.page_of(circuit), {"failures_count": "0"}).status_code == 403
        assert superuser.post(pages.page_of(circuit, "delete"), {"post": "yes"}).status_code == 403
        assert ProviderCircuit.objects.get().failures_count == 1
