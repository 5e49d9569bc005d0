from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from accounts.models import Merchant
from payouts.engine import deadlines
from payouts.models import Payout
from tests.support import answers, factories

MakePayout = Callable[..., Payout]


def patch(client: Client, payout: Payout, body: Any, **headers: str) -> Any:
    # A refusal undoes the transaction of the service. Here that is the test's own, so a savepoint stands in for it.
    with transaction.atomic():
        return client.patch(f"/api/payouts/{payout.id}/", body, content_type="application/json", headers=headers)


def columns(payout: Payout) -> dict[str, Any]:
    """Everything that the database holds of the payout."""
    return dict(Payout.objects.filter(pk=payout.pk).values().get())


class TestUpdatePayout:
    def test_changes_pending_payout(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout(comment="first", metadata={"k": "v"})
        before = columns(payout)

        response = patch(
            api,
            payout,
            {
                "amount": "7",
                "currency": "USD",
                "recipient_details": {"name": "John Roe", "account": "sandbox_slow"},
                "comment": "second",
                "reference": "order-2",
                "metadata": {"other": "pairs"},
            },
        )

        after = columns(payout)
        assert response.status_code == 200
        assert response.json() == api.get(f"/api/payouts/{payout.id}/").json()
        assert response.json()["amount"] == "7.00"
        assert response.headers["ETag"] == '"2"'
        changed = {name: after[name] for name in after if after[name] != before[name]}
        assert changed.pop("updated_at") > before["updated_at"]
        assert changed == {
            "amount": Decimal(7),
            "currency": "USD",
            "recipient_details": {"name": "John Roe", "account": "sandbox_slow"},
            "comment": "second",
            "reference": "order-2",
            "metadata": {"other": "pairs"},
            "version": 2,
        }

    def test_leaves_what_is_not_sent(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout(comment="first", reference="order-1", metadata={"k": "v"})

        body = patch(api, payout, {"comment": ""}).json()

        assert (body["comment"], body["reference"], body["metadata"]) == ("", "order-1", {"k": "v"})

    @pytest.mark.parametrize(
        "body", [{}, {"comment": "first"}, {"amount": "10.5", "recipient_details": {"account": "a", "name": "n"}}]
    )
    def test_counts_no_version_where_nothing_changes(self, api: Client, make_payout: MakePayout, body: Any) -> None:
        payout = make_payout(comment="first", recipient_details={"name": "n", "account": "a"})
        before = columns(payout)

        response = patch(api, payout, body)

        assert (response.status_code, response.headers["ETag"]) == (200, '"1"')
        assert columns(payout) == before

    @pytest.mark.parametrize(
        "account", ["sandbox_paid", "sandbox_rejected_invalid_account", "sandbox_unknown", "sandbox_accepted"]
    )
    def test_changes_comment_and_metadata_always(
        self, api: Client, make_processed_payout: MakePayout, account: str
    ) -> None:
        payout = make_processed_payout(account)

        response = patch(api, payout, {"comment": "note", "metadata": {"k": "v"}, "amount": "10.50"})

        assert response.status_code == 200
        assert (response.json()["comment"], response.json()["metadata"]) == ("note", {"k": "v"})

    @pytest.mark.parametrize(
        "change",
        [
            {"amount": "10.51"},
            {"currency": "USD"},
            {"recipient_details": {"name": "John Roe", "account": "sandbox_paid"}},
            {"reference": "order-2"},
        ],
    )
    def test_refuses_other_changes_once_it_is_not_pending(
        self, api: Client, make_processed_payout: MakePayout, change: Any
    ) -> None:
        payout = make_processed_payout()
        before = columns(payout)

        response = patch(api, payout, {"comment": "note", **change})

        assert answers.code(response) == (409, "payout_not_changeable")
        assert response.json()["detail"].startswith("This payout is paid.")
        assert columns(payout) == before

    def test_takes_null_for_a_field_that_is_not_to_change(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout(comment="before", reference="order-1", metadata={"a": "1"})
        payout.refresh_from_db()
        before = columns(payout)
        names = ("amount", "currency", "recipient_details", "comment", "reference", "metadata")

        response = patch(api, payout, dict.fromkeys(names))

        assert response.status_code == 200
        assert columns(payout) == before

    @pytest.mark.parametrize(
        ("body", "error"),
        [
            ({"status": "paid"}, ("status", "unknown_field")),
            ({"id": "x"}, ("id", "unknown_field")),
            ({"idempotency_key": "k"}, ("idempotency_key", "unknown_field")),
            ({"amount": "0"}, ("amount", "amount_not_positive")),
            ({"amount": 5}, ("amount", "not_a_string")),
            ({"recipient_details": {"name": "Jane", "account": None}}, ("recipient_details.account", "null")),
            ({"metadata": {"k": None}}, ("metadata.k", "null")),
            ({"colour": None}, ("colour", "unknown_field")),
            ({"amount": "10.505"}, ("amount", "too_many_decimals")),
            # The amount that the payout has does not fit the new currency.
            ({"currency": "JPY"}, ("amount", "too_many_decimals")),
            ({"currency": "eur"}, ("currency", "unknown_currency")),
            ({"recipient_details": {"name": "Jane"}}, ("recipient_details.account", "required")),
            (
                {"recipient_details": {"name": "Jane", "account": "4111111111111111"}},
                ("recipient_details.account", "card_number_not_allowed"),
            ),
            ({"comment": "c" * 501}, ("comment", "max_length")),
            ({"metadata": {"k": 1}}, ("metadata.k", "not_a_string")),
            ('{"comment": "a", "comment": "b"}', ("comment", "duplicate_key")),
            ('{"comment": "\\u0000"}', ("comment", "invalid_character")),
            ("{", ("body", "malformed_json")),
            ("[]", ("body", "not_an_object")),
        ],
        ids=lambda value: str(value)[:30],
    )
    def test_refuses_bad_input(self, api: Client, make_payout: MakePayout, body: Any, error: tuple[str, str]) -> None:
        payout = make_payout()
        before = columns(payout)

        response = patch(api, payout, body)

        assert answers.code(response) == (400, "invalid_request")
        assert answers.field_errors(response) == [error]
        assert columns(payout) == before

    def test_takes_a_whole_amount_to_a_currency_without_decimals(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout(amount=Decimal("1500.00"))

        assert patch(api, payout, {"currency": "JPY"}).json()["amount"] == "1500"

    def test_takes_nothing_from_an_empty_form(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout(comment="first", metadata={"k": "v"})
        before = columns(payout)

        # What `curl -X PATCH -d ''` sends: must not be taken for a form whose fields are all empty.
        api.patch(f"/api/payouts/{payout.id}/", "", content_type="application/x-www-form-urlencoded")

        assert columns(payout) == before

    def test_refuses_every_parameter(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()

        response = api.patch(f"/api/payouts/{payout.id}/?comment=x", {}, content_type="application/json")

        assert answers.field_errors(response) == [("comment", "unknown_parameter")]

    def test_hides_other_merchants_payout(self, globex_api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()
        before = columns(payout)

        # Even a bad body must not tell that there is such a payout.
        for body in ({"comment": "mine"}, {"amount": 0}, {}):
            assert answers.code(patch(globex_api, payout, body)) == (404, "not_found")
        assert columns(payout) == before

    def test_hides_payout_of_the_other_mode(self, acme: Merchant, make_payout: MakePayout) -> None:
        response = patch(factories.client_of(acme, mode="live"), make_payout(), {"comment": "mine"})

        assert answers.code(response) == (404, "not_found")

    def test_finds_no_deleted_payout(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()
        api.delete(f"/api/payouts/{payout.id}/")

        assert answers.code(patch(api, payout, {"comment": "late"})) == (404, "not_found")

    def test_requires_api_key(self, client: Client, make_payout: MakePayout) -> None:
        assert answers.code(patch(client, make_payout(), {})) == (401, "api_key_missing")

    def test_knows_no_put(self, api: Client, make_payout: MakePayout) -> None:
        response = api.put(f"/api/payouts/{make_payout().id}/", "{}", content_type="application/json")

        assert answers.code(response) == (405, "method_not_allowed")
        assert response.headers["Allow"] == "GET, PATCH, DELETE, HEAD"


class TestCurrencyThatLeftISO4217:
    def test_can_still_be_commented_on(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout(currency="ZZZ")

        response = patch(api, payout, {"comment": "new"})

        assert response.status_code == 200
        assert (response.json()["amount"], response.json()["comment"]) == ("10.5000", "new")


class TestIfMatch:
    @pytest.mark.parametrize("header", ['"1"', "*", ' "7" , "1"'])
    def test_changes_the_version_that_was_read(self, api: Client, make_payout: MakePayout, header: str) -> None:
        response = patch(api, make_payout(), {"comment": "new"}, **{"If-Match": header})

        assert (response.status_code, response.headers["ETag"]) == (200, '"2"')

    # RFC 9110 compares If-Match strongly, so a weak tag never matches.
    @pytest.mark.parametrize("header", ['"2"', '"0"', 'W/"1"', '"2", W/"1"'])
    def test_refuses_every_other(self, api: Client, make_payout: MakePayout, header: str) -> None:
        payout = make_payout()
        before = columns(payout)

        response = patch(api, payout, json.dumps({"comment": "new"}), **{"If-Match": header})

        assert answers.code(response) == (412, "payout_changed")
        assert columns(payout) == before

    # Reading the payout again would not help a client that sends these.
    @pytest.mark.parametrize("header", ["1", "", ",", '"1', "x" * 5000])
    def test_refuses_what_is_no_etag(self, api: Client, make_payout: MakePayout, header: str) -> None:
        payout = make_payout()
        before = columns(payout)

        response = patch(api, payout, json.dumps({"comment": "new"}), **{"If-Match": header})

        assert answers.code(response) == (400, "if_match_malformed")
        assert [error["field"] for error in response.json()["errors"]] == ["If-Match"]
        assert columns(payout) == before

    def test_lets_one_of_two_writers_win(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()

        first, second = [patch(api, payout, {"comment": text}, **{"If-Match": '"1"'}) for text in ("a", "b")]

        assert (first.status_code, second.status_code) == (200, 412)
        assert columns(payout)["comment"] == "a"


class TestExpiresAt:
    def test_is_changed_while_it_is_pending(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()
        expires_at = (datetime.now(UTC) + timedelta(hours=1)).isoformat().replace("+00:00", "Z")

        changed = patch(api, payout, {"expires_at": expires_at})
        same = patch(api, payout, {"expires_at": expires_at})
        # As for each field that may be left out, null says nothing.
        null = patch(api, payout, {"expires_at": None})

        assert (changed.status_code, changed.json()["expires_at"]) == (200, expires_at)
        assert [answer.headers["ETag"] for answer in (changed, same, null)] == ['"2"'] * 3
        assert null.json()["expires_at"] == expires_at

    def test_moves_the_end_of_its_time(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout(expires_at=datetime.now(UTC) + timedelta(minutes=1))

        patch(api, payout, {"expires_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat()})
        deadlines.give_up()

        payout.refresh_from_db()
        assert payout.give_up_at == payout.expires_at

    def test_is_refused_once_it_may_be_sent(self, api: Client, make_processed_payout: MakePayout) -> None:
        payout = make_processed_payout("sandbox_unknown")

        response = patch(api, payout, {"expires_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat()})

        assert (response.status_code, response.json()["code"]) == (409, "payout_not_changeable")
        assert "expiry" in response.json()["detail"]

    def test_is_refused_in_the_past(self, api: Client, make_payout: MakePayout) -> None:
        response = patch(api, make_payout(), {"expires_at": "2020-01-01T00:00:00Z"})

        assert response.status_code == 400
        assert response.json()["errors"][0]["code"] == "time_is_over"
