"""A recipient that is a line of text: stored, and answered everywhere, as it was sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from accounts.models import Merchant
from payouts.engine import processing
from payouts.models import Payout
from payouts.providers import registry
from tests.support import answers, database, exporting, factories
from tests.unit.payouts.providers import banks

#: The request of the plan that this platform was ordered with.
BODY = {"amount": "100.00", "currency": "USD", "recipient_details": "Card ****1234", "comment": "Test payout"}
OBJECT = {"name": "Jane Doe", "account": "DE89370400440532013000"}

MakePayout = Callable[..., Payout]


def errors_of(client: Client, recipient: Any) -> list[tuple[str, str]]:
    response = factories.post_payout(client, {**BODY, "recipient_details": recipient})
    assert response.status_code == 400
    return answers.field_errors(response)


def patch(client: Client, location: str, body: Any) -> Any:
    # A refusal undoes the transaction of the service. Here that is the test's own, so a savepoint stands in for it.
    with transaction.atomic():
        return client.patch(location, body, content_type="application/json")


class TestRecipientText:
    def test_is_taken_and_answered_as_it_was_sent(self, api: Client) -> None:
        response = factories.post_payout(api, BODY)

        payout = Payout.objects.get()
        assert response.status_code == 201
        assert {name: response.json()[name] for name in BODY} == BODY
        assert payout.recipient_details == "Card ****1234"
        assert answers.rows_written() == {"payouts": 1, "transitions": 1, "attempts": 0, "idempotency_records": 0}

    def test_is_the_same_in_every_answer(self, api: Client) -> None:
        created = factories.post_payout(api, BODY, key="first")
        location = created.headers["Location"]

        answered = [
            factories.post_payout(api, BODY, key="first").json(),
            api.get(location).json(),
            *api.get("/api/payouts/").json()["results"],
            patch(api, location, {"comment": "x"}).json(),
            api.post(f"{location}cancel/", {}, content_type="application/json").json(),
        ]

        assert [document["recipient_details"] for document in answered] == ["Card ****1234"] * 5
        assert answered[0] == created.json()

    @pytest.mark.parametrize(
        "text",
        [
            " Card  ****1234 ",
            "x",
            "x" * 500,
            "\U0001f642" * 500,
            'Zo\u00eb "Z", \u738b\u5c0f\u660e \U0001f642',
            "{}",
            '"Jane"',
            "null",
            "5",
            "name",
            "=1+1",
        ],
        ids=lambda text: text[:12].encode("unicode_escape").decode(),
    )
    def test_is_not_changed(self, api: Client, text: str) -> None:
        location = factories.post_payout(api, {**BODY, "recipient_details": text}).headers["Location"]

        listed = api.get("/api/payouts/").json()["results"]
        assert (api.get(location).json()["recipient_details"], listed[0]["recipient_details"]) == (text, text)

    @pytest.mark.parametrize(
        "text",
        [
            "Card ****1234",
            "4111 11** **** 1111",
            "411111XXXXXX1111",
            "VISA \u2022\u2022\u2022\u2022 \u2022\u2022\u2022\u2022 1234, 12/27",
            "DE89 3704 0044 0532 0130 00",
        ],
    )
    def test_may_be_a_masked_card_or_an_iban(self, api: Client, text: str) -> None:
        assert factories.post_payout(api, {**BODY, "recipient_details": text}).status_code == 201

    @pytest.mark.parametrize(
        "text",
        [
            "4111111111111111",
            "4111 1111 1111 1111",
            "Card 4111-1111-1111-1111, Jane Doe",
            "Jane Doe 4111 1111 1111 1111 12/27",
            "Card ****1234 or 5555555555554444",
        ],
    )
    def test_must_not_hold_a_card_number(self, api: Client, text: str) -> None:
        assert errors_of(api, text) == [("recipient_details", "card_number_not_allowed")]
        assert answers.rows_written() == answers.NOTHING

    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("", "blank"),
            ("   ", "blank"),
            ("\u00a0", "blank"),
            ("x" * 501, "max_length"),
            ("Jane\nDoe", "invalid_character"),
            ("Jane Doe\r\n", "invalid_character"),
            ("Jane\x00Doe", "invalid_character"),
            ("Jane\x7fDoe", "invalid_character"),
        ],
        ids=lambda value: value[:10].encode("unicode_escape").decode(),
    )
    def test_is_one_line_that_says_something(self, api: Client, text: str, code: str) -> None:
        assert errors_of(api, text) == [("recipient_details", code)]
        assert answers.rows_written() == answers.NOTHING

    def test_says_what_may_be_sent(self, api: Client) -> None:
        response = factories.post_payout(api, {**BODY, "recipient_details": 5})

        (error,) = response.json()["errors"]
        assert error["message"] == "Send a string, or an object with name and account."

    def test_belongs_to_what_an_idempotency_key_stands_for(self, api: Client) -> None:
        factories.post_payout(api, BODY, key="first")

        others = [{**BODY, "recipient_details": other} for other in ("Card ****1235", "Card ****1234 ", OBJECT)]

        refused = [answers.code(factories.post_payout(api, body, key="first")) for body in others]
        assert refused == [(422, "idempotency_key_reused")] * 3
        assert Payout.objects.count() == 1

    def test_can_be_changed_to_an_object_and_back(self, api: Client) -> None:
        location = factories.post_payout(api, BODY).headers["Location"]

        found = [
            (answer.status_code, answer.json()["recipient_details"], answer.headers["ETag"])
            for answer in (
                patch(api, location, {"recipient_details": recipient})
                for recipient in (OBJECT, OBJECT, "Card ****1234", "Card ****1234")
            )
        ]

        # The second and the fourth change nothing.
        assert found == [
            (200, OBJECT, '"2"'),
            (200, OBJECT, '"2"'),
            (200, "Card ****1234", '"3"'),
            (200, "Card ****1234", '"3"'),
        ]
        assert api.get(location).json()["recipient_details"] == "Card ****1234"

    def test_cannot_be_changed_once_it_may_have_been_sent(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout(recipient_details="Card ****1234")
        processing.process(payout.id)

        response = patch(api, f"/api/payouts/{payout.id}/", {"recipient_details": "other"})

        assert answers.code(response) == (409, "payout_not_changeable")
        assert Payout.objects.get().recipient_details == "Card ****1234"

    def test_is_paid_by_the_sandbox(self, make_payout: MakePayout) -> None:
        payout = make_payout(recipient_details="Card ****1234")

        processing.process(payout.id)

        assert database.statuses(payout) == ["pending", "processing", "paid"]

    @pytest.mark.parametrize("text", ["sandbox_rejected_account_closed", " sandbox_rejected_account_closed "])
    def test_may_be_a_token_of_the_sandbox(self, make_payout: MakePayout, text: str) -> None:
        payout = make_payout(recipient_details=text)

        processing.process(payout.id)

        payout.refresh_from_db()
        assert (payout.status, payout.failure_code) == ("failed", "account_closed")

    def test_has_a_history_as_any_other(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout(recipient_details="Card ****1234")
        processing.process(payout.id)

        history = api.get(f"/api/payouts/{payout.id}/history/").json()

        assert [transition["to_status"] for transition in history["transitions"]] == ["pending", "processing", "paid"]
        assert "1234" not in str(history["attempts"])

    def test_is_counted_in_sums(self, api: Client) -> None:
        factories.post_payout(api, BODY)

        (row,) = api.get("/api/payouts/summary/?group_by=currency").json()["results"]

        assert (row["currency"], row["count"], row["amount"]) == ("USD", 1, "100.00")

    def test_is_exported_as_it_was_sent(self, api: Client) -> None:
        factories.post_payout(api, BODY)

        csv, ndjson = (
            b"".join(api.get(f"/api/payouts/export/?format={file_format}")) for file_format in ("csv", "ndjson")
        )

        (row,) = exporting.csv_rows(csv)
        (line,), _ = exporting.ndjson_rows(ndjson)
        assert (row["recipient_text"], row["recipient_name"], row["recipient_account"]) == ("Card ****1234", "", "")
        assert line["recipient_details"] == "Card ****1234"

    @pytest.mark.parametrize("term", ["Card ****1234", "card *", "**1234"])
    def test_is_found_by_search(self, api: Client, make_payout: MakePayout, term: str) -> None:
        made = make_payout(recipient_details="Card ****1234")
        make_payout()

        found = api.get("/api/payouts/", {"search": term}).json()["results"]

        assert [payout["id"] for payout in found] == [str(made.id)]

    def test_is_not_shown_to_others(self, api: Client, globex_api: Client) -> None:
        location = factories.post_payout(api, BODY).headers["Location"]

        assert globex_api.get(location).status_code == 404
        assert globex_api.get("/api/payouts/").json()["results"] == []


class TestProviderThatNeedsStructure:
    """A live payout whose recipient the bank cannot take is refused at once, and so never fails for that reason."""

    MESSAGE = "Send recipient_details as an object with name and account: the provider of these payouts needs them."

    @pytest.fixture
    def live_api(self, acme: Merchant, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Client:
        settings.LIVE_PROVIDER = "http_bank"
        monkeypatch.setitem(registry.PROVIDERS, "http_bank", banks.provider("http://127.0.0.1:9"))
        return factories.client_of(acme, mode="live")

    def test_refuses_a_text(self, live_api: Client) -> None:
        response = factories.post_payout(live_api, BODY, key="first")

        problem = response.json()
        assert answers.code(response) == (400, "recipient_not_structured")
        assert problem["errors"] == [
            {"field": "recipient_details", "code": "recipient_not_structured", "message": self.MESSAGE}
        ]
        assert problem["detail"] == self.MESSAGE
        # The key is free for the request as it should have been.
        assert answers.rows_written() == answers.NOTHING
        assert factories.post_payout(live_api, {**BODY, "recipient_details": OBJECT}, key="first").status_code == 201

    def test_takes_an_object(self, live_api: Client) -> None:
        response = factories.post_payout(live_api, {**BODY, "recipient_details": OBJECT})

        assert (response.status_code, response.json()["mode"]) == (201, "live")

    def test_refuses_a_change_to_a_text(self, live_api: Client) -> None:
        location = factories.post_payout(live_api, {**BODY, "recipient_details": OBJECT}).headers["Location"]

        refused = patch(live_api, location, {"recipient_details": "Card ****1234", "comment": "x"})

        payout = Payout.objects.get()
        assert answers.code(refused) == (400, "recipient_not_structured")
        assert (payout.recipient_details, payout.comment, payout.version) == (OBJECT, "Test payout", 1)

    def test_leaves_test_payouts_alone(self, live_api: Client, api: Client) -> None:
        assert factories.post_payout(api, BODY).status_code == 201

    def test_names_the_field_that_an_object_lacks(
        self, acme: Merchant, settings: Any, monkeypatch: pytest.MonkeyPatch, live_api: Client
    ) -> None:
        provider = banks.provider("http://127.0.0.1:9")
        provider.capabilities = banks.needing("name", "account", "bank_code")
        monkeypatch.setitem(registry.PROVIDERS, "http_bank", provider)

        response = factories.post_payout(live_api, {**BODY, "recipient_details": OBJECT})

        (error,) = response.json()["errors"]
        assert (error["field"], error["code"]) == ("recipient_details.bank_code", "recipient_not_structured")
        assert "name, account and bank_code" in error["message"]
