"""The summary in the admin: the same as the summary of the API, of one merchant, and only to be looked at."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from accounts.models import Merchant
from payouts.models import Payout
from payouts.summaries import summarize
from tests.integration.admin import pages
from tests.support import factories

SUMMARY = f"{pages.PAYOUTS}summary/"
API = "/api/payouts/summary/"

MakePayout = Callable[..., Payout]


@pytest.fixture
def payouts(make_payout: MakePayout, make_processed_payout: MakePayout) -> None:
    """Payouts of acme, in test mode, that every filter below tells apart."""
    make_payout(amount=Decimal("0.10"), created_at=datetime(2026, 1, 31, 23, 30, tzinfo=UTC), reference="INV-1")
    make_payout(amount=Decimal("0.25"), created_at=datetime(2026, 2, 1, tzinfo=UTC), comment="rent of May")
    make_payout(amount=Decimal(1500), currency="JPY", metadata={"department": "returns"})
    make_processed_payout(amount=Decimal(7), idempotency_key="key 1")


def ask(client: Client, owner: Merchant, **parameters: Any) -> Any:
    return client.get(SUMMARY, {"merchant": str(owner.pk), "mode": "test", **parameters})


def shown(response: Any) -> list[list[list[str]]]:
    """Return the rows of the totals, and of the figures, as they are shown."""
    assert response.status_code == 200
    assert not response.context["form"].errors
    return [
        [[str(cell) for cell in (*groups, *figures)] for groups, figures in table["rows"]]
        for table in response.context["tables"]
    ]


def told(api: Client, **parameters: Any) -> list[list[list[str]]]:
    """Return what the API tells, in the same form."""
    response = api.get(API, parameters)
    assert response.status_code == 200, response.content
    names = (*summarize.COLUMNS, "count", "amount", "average", "min", "max")
    parts = (response.json()[part] for part in ("totals", "results"))
    return [[[str(row[name]) for name in names if name in row] for row in rows] for rows in parts]


def refused(response: Any) -> dict[str, list[str]]:
    assert response.status_code == 200
    assert response.context["tables"] is None
    return {name: list(errors) for name, errors in response.context["form"].errors.items()}


class TestSummary:
    def test_shows_count_sum_average_least_and_greatest(self, operator: Client, acme: Merchant, payouts: None) -> None:
        response = ask(operator, acme)

        assert shown(response) == [
            [["EUR", "3", "7.35", "2.45", "0.10", "7.00"], ["JPY", "1", "1500", "1500", "1500", "1500"]],
            [
                ["paid", "EUR", "1", "7.00", "7.00", "7.00", "7.00"],
                ["pending", "EUR", "2", "0.35", "0.18", "0.10", "0.25"],
                ["pending", "JPY", "1", "1500", "1500", "1500", "1500"],
            ],
        ]
        assert ">7.35</td>" in response.content.decode()

    @pytest.mark.parametrize(
        ("parameters", "rows_count"),
        [
            ({}, 3),
            ({"group_by": ["day", "provider"]}, 4),
            ({"group_by": ["day"], "timezone": "Europe/Berlin", "created_before": "2026-02-02T00:00:00Z"}, 1),
            ({"group_by": ["day"], "created_before": "2026-02-02T00:00:00Z"}, 2),
            ({"status": ["paid", "failed"]}, 1),
            ({"status": "paid,pending", "currency": "EUR"}, 2),
            ({"amount_min": "0.25", "amount_max": "7"}, 2),
            ({"created_after": "2026-02-01T00:00:00Z", "created_before": "2026-02-02T00:00:00Z"}, 1),
            ({"updated_after": "2026-01-01T00:00:00Z", "updated_before": "9999-01-01T00:00:00Z"}, 3),
            ({"reference": "INV-1"}, 1),
            ({"idempotency_key": "key 1"}, 1),
            ({"search": "rent of"}, 1),
            ({"metadata[department]": "returns"}, 1),
            ({"reference": "INV-2"}, 0),
        ],
    )
    def test_are_those_of_the_api(
        self,
        operator: Client,
        api: Client,
        acme: Merchant,
        payouts: None,
        parameters: dict[str, Any],
        rows_count: int,
    ) -> None:
        figures = shown(ask(operator, acme, **parameters))

        assert figures == told(api, **parameters)
        assert len(figures[1]) == rows_count

    def test_ignores_fields_left_empty(self, operator: Client, api: Client, acme: Merchant, payouts: None) -> None:
        empty = dict.fromkeys(("timezone", "currency", "amount_min", "created_after", "reference", "search"), "")

        assert shown(ask(operator, acme, **empty, idempotency_key=" ")) == told(api)

    def test_are_of_this_merchant_and_mode_alone(
        self, operator: Client, acme: Merchant, globex: Merchant, globex_api: Client, payouts: None
    ) -> None:
        factories.post_payout(globex_api, factories.payout_body(amount="33.00"))

        assert shown(ask(operator, globex))[0] == [["EUR", "1", "33.00", "33.00", "33.00", "33.00"]]
        assert shown(ask(operator, acme, mode="live")) == [[], []]
        assert "33.00" not in ask(operator, acme).content.decode()

    def test_does_not_show_what_was_deleted(self, operator: Client, acme: Merchant, api: Client) -> None:
        payout = factories.post_payout(api).json()
        api.delete(f"/api/payouts/{payout['id']}/")

        assert shown(ask(operator, acme)) == [[], []]

    def test_shows_a_filter_by_metadata_in_the_form(self, operator: Client, acme: Merchant) -> None:
        text = ask(operator, acme, **{"metadata[<b>]": "<i>"}).content.decode()

        assert 'name="metadata[&lt;b&gt;]"' in text
        assert 'value="&lt;i&gt;"' in text
        assert "<b>]" not in text

    def test_ticks_what_the_address_separates_by_commas(self, operator: Client, acme: Merchant) -> None:
        form = ask(operator, acme, status="paid, failed", group_by="day,status").context["form"]

        ticked = {
            name: [box.data["value"] for box in form[name] if box.data["selected"]] for name in ("status", "group_by")
        }
        assert ticked == {"status": ["paid", "failed"], "group_by": ["status", "day"]}


class TestRefusals:
    @pytest.mark.parametrize(
        ("parameters", "field"),
        [
            ({"status": "lost"}, "status"),
            ({"currency": "euro"}, "currency"),
            ({"amount_min": "much"}, "amount_min"),
            ({"amount_min": "2", "amount_max": "1"}, "amount_min"),
            ({"amount_max": "1e3"}, "amount_max"),
            ({"created_after": "yesterday"}, "created_after"),
            ({"created_before": "2026-01-31"}, "created_before"),
            ({"updated_after": "2026-01-31T00:00:00"}, "updated_after"),
            ({"updated_before": "x"}, "updated_before"),
            ({"reference": "x" * 256}, "reference"),
            ({"reference": ["a", "b"]}, "reference"),
            ({"reference": "a\x00"}, "reference"),
            ({"idempotency_key": "x" * 300}, "idempotency_key"),
            ({"search": "ab"}, "search"),
            ({"metadata[a]": "b\x00"}, "metadata[a]"),
            ({"group_by": "merchant"}, "group_by"),
            ({"timezone": "UTC"}, "timezone"),
            ({"group_by": "day", "timezone": "Europe/Atlantis"}, "timezone"),
        ],
    )
    def test_says_what_the_api_says_beside_the_field(
        self, operator: Client, api: Client, acme: Merchant, parameters: dict[str, Any], field: str
    ) -> None:
        response = ask(operator, acme, **parameters)
        answer = api.get(API, parameters)

        assert answer.status_code == 400
        messages = [error["message"] for error in answer.json().get("errors", [])] or [answer.json()["detail"]]
        assert refused(response) == {field: messages}

    def test_names_a_parameter_that_has_no_field(self, operator: Client, acme: Merchant) -> None:
        (message,) = refused(ask(operator, acme, page="2"))["__all__"]

        assert message.startswith("page: There is no such parameter; there are: amount_max, ")

    def test_says_that_it_would_be_too_large(
        self, operator: Client, acme: Merchant, payouts: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(summarize, "ROWS_MAX", 2)

        assert refused(ask(operator, acme)) == {
            "__all__": ["The summary would have more than 10000 rows. Ask for a shorter time, or group by less."]
        }

    @pytest.mark.parametrize(
        ("parameters", "field", "message"),
        [
            ({"merchant": ""}, "merchant", "This field is required."),
            ({"merchant": "nonsense"}, "merchant", "\u201cnonsense\u201d is not a valid UUID."),
            (
                {"merchant": "01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f"},
                "merchant",
                "Select a valid choice. That choice is not one of the available choices.",
            ),
            ({"merchant": "\x00"}, "merchant", "Null characters are not allowed."),
            ({"mode": ""}, "mode", "This field is required."),
            ({"mode": "dry"}, "mode", "Select a valid choice. dry is not one of the available choices."),
        ],
    )
    def test_needs_a_merchant_and_a_mode(
        self, operator: Client, acme: Merchant, parameters: dict[str, str], field: str, message: str
    ) -> None:
        assert refused(ask(operator, acme, **parameters)) == {field: [message]}


class TestAccess:
    def test_is_linked_from_the_list(self, auditor: Client) -> None:
        assert f'href="{SUMMARY}"' in auditor.get(pages.PAYOUTS).content.decode()

    def test_opens_with_a_form_alone(self, auditor: Client) -> None:
        response = auditor.get(SUMMARY)

        assert (response.status_code, response.context["tables"]) == (200, None)
        assert not response.context["form"].errors

    @pytest.mark.parametrize(("group", "status"), [("Operators", 200), ("Auditors", 200), ("Key managers", 403)])
    def test_is_for_who_may_view_payouts(
        self, member_of: Callable[[str], Client], acme: Merchant, group: str, status: int
    ) -> None:
        assert ask(member_of(group), acme).status_code == status

    def test_sends_strangers_to_the_login(self, client: Client, acme: Merchant) -> None:
        response = ask(client, acme)

        assert response.status_code == 302
        assert response["Location"].startswith("/admin/login/?next=")

    @pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
    def test_takes_nothing(self, superuser: Client, method: str) -> None:
        response = getattr(superuser, method)(SUMMARY)

        assert (response.status_code, response["Allow"]) == (405, "GET, HEAD")
