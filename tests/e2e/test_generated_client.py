"""What an integrator writes with a client that was generated from docs/openapi.yaml: plain calls, and typed answers."""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.e2e import generated_client
from tests.e2e.generated_client import GeneratedClient
from tests.support.stack import Stack

CSV_COLUMNS = ["id", "status", "mode", "amount", "currency"]
# The one of the original plan, and the structured one.
RECIPIENTS = {"string": "Card ****1234", "object": {"name": "Jane Doe", "account": "sandbox_paid"}}
BODY = {"amount": "100.00", "currency": "USD", "comment": "Test payout"}
EXPORT_ENDS_WITHIN_SECONDS = 25


@pytest.fixture(scope="module")
def generated(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The generator's words. The document is that of the running platform, so that no old copy of it is tested."""
    directory = tmp_path_factory.mktemp("client")
    document = directory / "openapi.yaml"
    document.write_bytes(httpx.get(f"{stack.base_url}/api/schema/", trust_env=False).content)
    said = generated_client.generate(document, directory)
    sys.path.insert(0, str(directory))
    yield said
    sys.path.remove(str(directory))


@pytest.fixture(scope="module")
def acme(stack: Stack, generated: str) -> Iterator[GeneratedClient]:
    client = GeneratedClient(stack.base_url, stack.issue_api_key("generated"))
    yield client
    client.close()


def create(acme: GeneratedClient, recipient: Any = RECIPIENTS["object"], **fields: str) -> Any:
    """Return what is answered: the payout, or a problem."""
    body = acme.models.CreatePayoutRequest.from_dict({**BODY, "recipient_details": recipient, **fields})
    return acme.call("payouts.create_payout", body=body, idempotency_key=str(uuid.uuid4()))


def plain(value: Any) -> Any:
    """Return what a model was made of."""
    return value.to_dict() if hasattr(value, "to_dict") else value


def cursor_of(link: str) -> str:
    (cursor,) = parse_qs(urlsplit(link).query)["cursor"]
    return cursor


class TestGeneration:
    def test_needs_no_change_to_the_document(self, generated: str) -> None:
        assert "WARNING" not in generated
        assert "ERROR" not in generated

    def test_names_every_choice(self, acme: GeneratedClient) -> None:
        names = [
            f"{kind.__name__}.{member.name}"
            for kind in vars(acme.models).values()
            for member in getattr(kind, "__members__", {}).values()
        ]

        assert "Ordering.NEWEST_FIRST" in names
        assert [name for name in names if "VALUE_" in name] == []


class TestPayouts:
    @pytest.mark.parametrize("recipient", RECIPIENTS.values(), ids=RECIPIENTS)
    def test_are_created_and_retrieved(self, acme: GeneratedClient, recipient: Any) -> None:
        created = create(acme, recipient)

        found = acme.call("payouts.retrieve_payout", created.id)

        assert isinstance(created, acme.models.Payout)
        assert isinstance(created.id, uuid.UUID)
        assert (created.status, created.amount, created.currency, plain(created.recipient_details)) == (
            acme.models.PayoutStatus.PENDING,
            "100.00",
            "USD",
            recipient,
        )
        assert (found.id, plain(found.recipient_details)) == (created.id, recipient)

    def test_are_listed_with_filters_page_by_page(self, acme: GeneratedClient) -> None:
        reference = str(uuid.uuid4())
        made = [create(acme, amount=f"{amount}.00", reference=reference).id for amount in (3, 1, 2)]
        ordering = acme.models.Ordering.LEAST_FIRST
        chosen: dict[str, Any] = {"reference": reference, "ordering": ordering, "page_size": 2, "currency": "USD"}
        include = acme.models.ListPayoutsInclude.TOTAL

        first = acme.call("payouts.list_payouts", **chosen, include=include, amount_min="0")
        second = acme.call("payouts.list_payouts", **chosen, amount_min="0", cursor=cursor_of(first.next_))
        every_status = list(acme.models.PayoutStatus)
        all_of_them = acme.call("payouts.list_payouts", reference=reference, status=every_status)

        assert [payout.id for payout in first.results] == [made[1], made[2]]
        assert [payout.id for payout in second.results] == [made[0]]
        assert (first.total, second.next_, first.previous) == (3, None, None)
        assert {payout.id for payout in all_of_them.results} == set(made)

    def test_are_updated_canceled_and_deleted(self, acme: GeneratedClient, stack: Stack) -> None:
        payout = create(acme)
        change = acme.models.UpdatePayoutRequest(comment="another")

        updated = acme.call("payouts.update_payout", payout.id, body=change)
        canceled = acme.detailed("payouts.cancel_payout", payout.id)
        deleted = acme.detailed("payouts.delete_payout", payout.id)

        assert (updated.id, updated.comment) == (payout.id, "another")
        # The worker may have been faster.
        if canceled.status_code == 200:
            assert canceled.parsed.status is acme.models.PayoutStatus.CANCELED
            assert (deleted.status_code, deleted.parsed) == (204, None)
        else:
            assert (canceled.parsed.code, deleted.parsed.code) == ("payout_not_cancelable", "payout_not_deletable")

    def test_have_a_history(self, acme: GeneratedClient) -> None:
        payout = create(acme)

        history = acme.call("payouts.retrieve_payout_history", payout.id)

        assert isinstance(history, acme.models.History)
        first = history.transitions[0]
        assert (first.from_status, first.to_status) == (acme.models.Blank.NONE, acme.models.PayoutStatus.PENDING)


class TestReports:
    def test_sum_without_arguments(self, acme: GeneratedClient) -> None:
        create(acme)

        summary = acme.call("reports.summarize_payouts")

        assert isinstance(summary, acme.models.Summary)
        assert [total.currency for total in summary.totals] == ["USD"]

    def test_sum_days_of_a_time_zone(self, acme: GeneratedClient) -> None:
        create(acme)
        days = [acme.models.SummarizePayoutsGroupByItem.DAY]

        summary = acme.call("reports.summarize_payouts", group_by=days, timezone="America/New_York")

        assert summary.results[0].day.year > 2000

    def test_export_as_csv_and_ndjson(self, acme: GeneratedClient) -> None:
        payout = create(acme, reference=str(uuid.uuid4()))

        as_csv = acme.call("reports.export_payouts", reference=payout.reference)
        as_ndjson = acme.call(
            "reports.export_payouts", reference=payout.reference, format_=acme.models.ExportFormat.NDJSON
        )

        header, row = as_csv.splitlines()
        assert header.split(",")[: len(CSV_COLUMNS)] == CSV_COLUMNS
        assert row.startswith(str(payout.id))
        document, trailer = (json.loads(line) for line in as_ndjson.splitlines())
        assert (document["id"], trailer["trailer"]["rows"]) == (str(payout.id), 1)

    def test_export_in_the_background_and_download(self, acme: GeneratedClient) -> None:
        payout = create(acme, reference=str(uuid.uuid4()))
        filters = acme.models.ExportFiltersRequest(reference=payout.reference)

        asked_for = acme.call("reports.create_export", body=acme.models.CreateExportRequest(filters=filters))
        export = self.completed(acme, asked_for.id)
        (token,) = parse_qs(urlsplit(export.download_url).query)["token"]
        file = acme.call("reports.download_export", export.id, token=token)

        assert isinstance(asked_for, acme.models.Export)
        assert (export.rows, export.status) == (1, acme.models.ExportStatus.COMPLETED)
        assert file.splitlines()[1].startswith(str(payout.id))
        assert export.id in {one.id for one in acme.call("reports.list_exports").results}

    @staticmethod
    def completed(acme: GeneratedClient, export_id: uuid.UUID) -> Any:
        deadline = time.monotonic() + EXPORT_ENDS_WITHIN_SECONDS
        while True:
            export = acme.call("reports.retrieve_export", export_id)
            if export.status is acme.models.ExportStatus.COMPLETED or time.monotonic() > deadline:
                return export
            time.sleep(0.1)


class TestOthers:
    def test_say_who_calls_and_what_a_key_was_for(self, acme: GeneratedClient) -> None:
        key = str(uuid.uuid4())
        body = acme.models.CreatePayoutRequest.from_dict({**BODY, "recipient_details": RECIPIENTS["object"]})
        payout = acme.call("payouts.create_payout", body=body, idempotency_key=key)

        me = acme.call("account.retrieve_me")
        known = acme.call("idempotency.retrieve_idempotency_key", key)

        assert me.api_key.mode is acme.models.Mode.TEST
        assert acme.models.Scope.PAYOUTS_WRITE in me.api_key.scopes
        assert (known.key, known.resource.id) == (key, payout.id)

    def test_get_errors_as_problem_documents(self, acme: GeneratedClient, stack: Stack) -> None:
        stranger = GeneratedClient(stack.base_url, "no.key")

        missing = acme.call("payouts.retrieve_payout", uuid.uuid4())
        refused = create(acme, currency="ZZZ")
        unknown = stranger.call("account.retrieve_me")
        stranger.close()

        assert [(one.status, one.code) for one in (missing, refused, unknown)] == [
            (404, "not_found"),
            (400, "invalid_request"),
            (401, "api_key_invalid"),
        ]
        assert {type(one) for one in (missing, refused, unknown)} == {acme.models.Problem}
        assert [(error.field, error.code) for error in refused.errors] == [("currency", "unknown_currency")]
