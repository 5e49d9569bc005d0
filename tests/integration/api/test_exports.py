"""Exports that are made in the background: asked for, looked at, canceled."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client

from accounts.models import Merchant
from idempotency import retention
from payouts.exports import jobs, sweep
from payouts.models import Export
from tests.support import answers, exporting, factories, racing
from tests.support.listing import MakePayout, pages

URL = "/api/exports/"


def post(client: Client, body: Any = None, *, key: str | None = None, url: str = URL) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post(url, {} if body is None else body, content_type="application/json", headers=headers)


def other(number: int) -> dict[str, Any]:
    """The body of a request that is the same as no other."""
    return {"filters": {"search": f"order-{number}"}}


def cancel(client: Client, export: Export, **arguments: Any) -> Any:
    return post(client, url=f"{URL}{export.pk}/cancel/", **arguments)


class TestCreateExport:
    def test_is_accepted(self, api: Client) -> None:
        filters = {"status": ["paid", "failed"], "currency": "EUR", "metadata": {"team": "a"}}

        response = post(api, {"format": "ndjson", "filters": filters, "ordering": "amount"})

        export = Export.objects.get()
        assert response.status_code == 202
        assert response.headers["Location"] == f"/api/exports/{export.pk}/"
        assert response.json() == {
            "id": str(export.pk),
            "status": "pending",
            "kind": "job",
            "mode": "test",
            "format": "ndjson",
            "filters": filters,
            "ordering": "amount",
            "bom": False,
            "rows": 0,
            "amounts": {},
            "bytes": 0,
            "sha256": "",
            "error": "",
            "created_at": response.json()["created_at"],
            "started_at": None,
            "finished_at": None,
            "expires_at": None,
            "download_url": None,
        }

    def test_needs_no_more_than_an_empty_object(self, api: Client) -> None:
        assert post(api).status_code == 202

        export = Export.objects.get()
        assert (export.format, export.filters, export.ordering) == ("csv", {}, "-created_at")
        assert export.actor.startswith("merchant:")

    def test_takes_statuses_as_the_list_does(self, api: Client) -> None:
        response = post(api, {"filters": {"status": "paid, failed"}})

        assert response.json()["filters"] == {"status": ["paid", "failed"]}

    @pytest.mark.parametrize(
        ("body", "bom"),
        [
            ({"bom": True}, True),
            ({"format": "csv", "bom": True}, True),
            ({"bom": False}, False),
            ({"bom": None}, False),
            ({"format": "ndjson", "bom": False}, False),
        ],
    )
    def test_may_begin_with_a_byte_order_mark(self, api: Client, body: dict[str, Any], bom: bool) -> None:  # noqa: FBT001 - a column of the table
        assert post(api, body).json()["bom"] is bom
        assert Export.objects.get().bom is bom

    def test_takes_null_as_if_it_were_left_out(self, api: Client) -> None:
        given = {"status": None, "currency": "EUR", "created_after": None, "metadata": None}

        one = post(api, {"format": None, "filters": None, "ordering": None}).json()
        other = post(api, {"filters": given}).json()

        assert (one["format"], one["filters"], one["ordering"]) == ("csv", {}, "-created_at")
        assert other["filters"] == {"currency": "EUR"}

    @pytest.mark.parametrize(
        ("body", "errors"),
        [
            ({"format": "xml"}, [("format", "invalid_choice")]),
            ({"ordering": "id"}, [("ordering", "invalid_choice")]),
            ({"bom": "true"}, [("bom", "not_a_boolean")]),
            ({"bom": 1}, [("bom", "not_a_boolean")]),
            ({"bom": "yes"}, [("bom", "not_a_boolean")]),
            ({"format": "ndjson", "bom": True}, [("bom", "bom_not_allowed")]),
            ({"colour": "red"}, [("colour", "unknown_field")]),
            ({"filters": []}, [("filters", "not_an_object")]),
            ({"filters": {"colour": None}}, [("filters.colour", "not_a_string")]),
            ({"filters": {"metadata": {"a": None}}}, [("filters.metadata", "not_a_string")]),
            ({"filters": {"colour": "red"}}, [("filters.colour", "unknown_parameter")]),
            ({"filters": {"page_size": "5"}}, [("filters.page_size", "unknown_parameter")]),
            ({"filters": {"status": "lost"}}, [("filters.status", "invalid_choice")]),
            ({"filters": {"status": []}}, [("filters.status", "blank")]),
            ({"filters": {"status": [1]}}, [("filters.status", "not_a_string")]),
            ({"filters": {"metadata": {}}}, [("filters.metadata", "blank")]),
            ({"filters": {"metadata": "a"}}, [("filters.metadata", "not_an_object")]),
            ({"filters": {"metadata": {"a": 1}}}, [("filters.metadata", "not_a_string")]),
            ({"filters": {"amount_min": 10}}, [("filters.amount_min", "not_a_string")]),
            ({"filters": {"currency": ["EUR"]}}, [("filters.currency", "not_a_string")]),
            ({"filters": {"currency": "CLF"}}, [("filters.currency", "unknown_currency")]),
            ({"filters": {"reference": ""}}, [("filters.reference", "blank")]),
            ({"filters": {"created_after": "yesterday"}}, [("filters.created_after", "invalid_time")]),
            ({"filters": {"created_after": "20260131T120000Z"}}, [("filters.created_after", "invalid_time")]),
            ({"filters": {"amount_min": "2", "amount_max": "1"}}, [("filters.amount_min", "crossed_range")]),
            (
                {"filters": {"search": "x", "currency": "XXX"}},
                [("filters.currency", "unknown_currency"), ("filters.search", "search_too_short")],
            ),
        ],
    )
    def test_refuses_what_it_does_not_understand(
        self, api: Client, body: dict[str, Any], errors: list[tuple[str, str]]
    ) -> None:
        response = post(api, body)

        assert response.status_code == 400
        assert answers.field_errors(response) == errors
        assert Export.objects.count() == 0

    def test_refuses_query_parameters(self, api: Client) -> None:
        assert answers.field_errors(post(api, url=f"{URL}?status=paid")) == [("status", "unknown_parameter")]

    def test_requires_api_key(self, client: Client, db: None) -> None:
        assert answers.code(post(client)) == (401, "api_key_missing")

    def test_of_which_there_are_five_at_most(self, api: Client, acme: Merchant, globex_api: Client) -> None:
        for number in range(5):
            assert post(api, other(number)).status_code == 202

        refused = post(api)

        assert answers.code(refused) == (429, "too_many_exports")
        assert refused.headers["Retry-After"] == "10"
        # Others, and the other mode, have five of their own.
        assert post(globex_api).status_code == post(factories.client_of(acme, mode="live")).status_code == 202
        cancel(api, Export.objects.filter(merchant=acme, mode="test")[0])
        assert post(api).status_code == 202

    @pytest.mark.django_db(transaction=True)
    def test_of_which_there_are_five_at_most_whoever_asks_at_once(self, acme: Merchant) -> None:
        clients = [factories.client_of(acme) for _ in range(8)]

        responses = racing.run_together(
            *[lambda item=item: post(item[1], other(item[0])).status_code for item in enumerate(clients)]
        )

        assert sorted(responses) == [202] * 5 + [429] * 3
        assert Export.objects.count() == 5


class TestSame:
    """A request in the same words gets the export that there is, if a new one would be the same."""

    def test_while_it_waits(self, api: Client) -> None:
        first = post(api, {"filters": {"status": ["paid"]}})

        again = post(api, {"filters": {"status": "paid"}, "format": "csv"})

        assert (first.status_code, again.status_code) == (202, 200)
        assert again.json() == first.json()
        assert again.headers["Location"] == first.headers["Location"]
        assert Export.objects.count() == 1

    @pytest.mark.parametrize("body", [{"format": "ndjson"}, {"bom": True}, {"ordering": "amount"}, other(1)])
    def test_is_not_one_in_other_words(self, api: Client, globex_api: Client, body: dict[str, Any]) -> None:
        post(api)

        assert [post(api, body).status_code, post(globex_api).status_code] == [202, 202]
        assert Export.objects.count() == 3

    def test_once_it_is_made_and_nothing_has_changed(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()
        exporting.unchanged(payout)
        jobs.run(uuid.UUID(post(api).json()["id"]))

        again = post(api)

        assert (again.status_code, again.json()["status"], again.json()["rows"]) == (200, "completed", 1)
        exporting.unchanged(payout, seconds=0)
        assert post(api).status_code == 202

    @pytest.mark.parametrize("end", ["canceled", "old"])
    def test_is_not_one_that_is_over(self, api: Client, end: str) -> None:
        first = Export.objects.get(pk=post(api).json()["id"])
        if end == "canceled":
            cancel(api, first)
        else:
            exporting.age(first, seconds=601)

        assert post(api).status_code == 202

    def test_is_made_once_whoever_asks_at_once(self, api: Client) -> None:
        assert post(api, key="export-1").json()["id"] == post(api, key="export-2").json()["id"]

        replayed = post(api, key="export-2")
        assert (replayed.status_code, replayed.headers["Idempotent-Replayed"]) == (200, "true")


class TestStorage:
    """What a merchant and mode may keep: here two files of 1 MB."""

    @pytest.fixture(autouse=True)
    def _limits(self, settings: Any) -> None:
        settings.EXPORT_KEPT_MAX, settings.EXPORT_KEPT_MEGABYTES_MAX = 2, 1

    def keep(self, merchant: Merchant, **columns: Any) -> Export:
        export = exporting.make_job(merchant, filters={"search": "kept"})
        jobs.run(export.pk)
        Export.objects.filter(pk=export.pk).update(**columns)
        return export

    def test_is_full_with_so_many(self, api: Client, acme: Merchant, globex_api: Client) -> None:
        self.keep(acme)
        assert post(api).status_code == 202
        cancel(api, Export.objects.latest("created_at"))
        kept = self.keep(acme)

        refused = post(api, key="export-1")

        assert answers.code(refused) == (429, "export_storage_full")
        assert refused.headers["Retry-After"] == "3600"
        assert post(globex_api).status_code == post(factories.client_of(acme, mode="live")).status_code == 202
        # One that is erased makes room.
        exporting.age(kept, seconds=8 * 86400)
        assert sweep.sweep().erased == 1
        assert post(api, key="export-1").status_code == 202

    def test_is_full_with_so_many_bytes(self, api: Client, acme: Merchant) -> None:
        kept = self.keep(acme, stored_bytes=999_999)
        assert post(api).status_code == 202
        cancel(api, Export.objects.latest("created_at"))
        Export.objects.filter(pk=kept.pk).update(stored_bytes=1_000_000)

        assert answers.code(post(api)) == (429, "export_storage_full")

    def test_ends_a_job_that_has_no_room(self, api: Client, acme: Merchant) -> None:
        self.keep(acme, stored_bytes=999_999)
        export = Export.objects.get(pk=post(api).json()["id"])

        jobs.run(export.pk)

        shown = api.get(f"{URL}{export.pk}/").json()
        assert (shown["status"], shown["download_url"]) == ("failed", None)
        assert shown["error"].startswith("The exports that are kept leave it no room.")
        assert export.chunks.count() == 0


class TestIdempotency:
    def test_asks_once_for_a_key(self, api: Client) -> None:
        first = post(api, {"format": "ndjson"}, key="export-1")

        again = post(api, {"format": "ndjson"}, key="export-1")

        assert (again.status_code, again.json()) == (202, first.json())
        assert again.headers["Location"] == first.headers["Location"]
        assert again.headers["Idempotent-Replayed"] == "true"
        assert Export.objects.count() == 1
        seen = api.get("/api/idempotency-keys/export-1/").json()
        assert seen["resource"] == {"type": "export", "id": first.json()["id"]}

    def test_a_refusal_leaves_the_key_free(self, api: Client) -> None:
        assert post(api, {"format": "xml"}, key="export-1").status_code == 400

        assert post(api, key="export-1").status_code == 202

    def test_too_many_leave_the_key_free(self, api: Client) -> None:
        for number in range(5):
            post(api, other(number))
        assert post(api, key="export-1").status_code == 429
        cancel(api, Export.objects.all()[0])

        assert post(api, key="export-1").status_code == 202

    def test_answers_as_it_is_now_once_the_first_answer_is_no_longer_kept(self, api: Client) -> None:
        export_id = post(api, key="export-1").json()["id"]
        export = Export.objects.get(pk=export_id)
        cancel(api, export)
        retention.purge_responses(older_than=timedelta(0))

        again = post(api, key="export-1")

        assert (again.status_code, again.json()["id"], again.json()["status"]) == (200, export_id, "canceled")
        assert Export.objects.count() == 1


class TestRetrieveExport:
    def test_offers_what_was_made(self, api: Client, acme: Merchant, make_payout: MakePayout) -> None:
        make_payout()
        export = exporting.make_job(acme)
        jobs.run(export.pk)

        shown = api.get(f"{URL}{export.pk}/").json()

        kept_for = datetime.fromisoformat(shown["expires_at"]) - datetime.fromisoformat(shown["finished_at"])
        assert kept_for.days == django_settings.EXPORT_DAYS == 7
        assert shown["download_url"].startswith(f"http://testserver/api/exports/{export.pk}/download/?token=")
        assert shown["status"] == "completed"

    def test_hides_other_merchants_export(self, globex_api: Client, acme: Merchant) -> None:
        export = exporting.make_job(acme)

        assert answers.code(globex_api.get(f"{URL}{export.pk}/")) == (404, "not_found")
        assert answers.code(cancel(globex_api, export)) == (404, "not_found")
        assert Export.objects.get().status == "pending"

    def test_takes_no_parameters(self, api: Client, acme: Merchant) -> None:
        response = api.get(f"{URL}{exporting.make_job(acme).pk}/?token=1")

        assert answers.field_errors(response) == [("token", "unknown_parameter")]


class TestListExports:
    def test_is_newest_first_a_page_at_a_time(self, api: Client, acme: Merchant, globex: Merchant) -> None:
        made = [str(exporting.make_job(acme).pk) for _ in range(5)]
        exporting.make_job(globex)
        exporting.make_job(acme, mode="live")

        listed = [[export["id"] for export in page["results"]] for page in pages(api, f"{URL}?page_size=2")]

        assert listed == [[made[4], made[3]], [made[2], made[1]], [made[0]]]

    @pytest.mark.parametrize("statuses", ["canceled,completed", ["completed", "canceled"]])
    def test_can_be_of_some_statuses(self, api: Client, acme: Merchant, statuses: Any) -> None:
        exporting.make_job(acme)
        canceled, completed = exporting.make_job(acme), exporting.make_job(acme)
        cancel(api, canceled)
        jobs.run(completed.pk)

        listed = api.get(URL, {"status": statuses}).json()["results"]

        assert [export["id"] for export in listed] == [str(completed.pk), str(canceled.pk)]

    @pytest.mark.parametrize(
        ("parameters", "error"),
        [
            ({"status": "lost"}, ("status", "invalid_choice")),
            ({"status": ["pending", "lost"]}, ("status", "invalid_choice")),
            ({"status": ""}, ("status", "blank")),
            ({"colour": "red"}, ("colour", "unknown_parameter")),
        ],
    )
    def test_refuses_what_it_does_not_understand(
        self, api: Client, parameters: dict[str, Any], error: tuple[str, str]
    ) -> None:
        assert answers.field_errors(api.get(URL, parameters)) == [error]


class TestCancelExport:
    def test_calls_off_a_pending_one_for_good(self, api: Client, acme: Merchant) -> None:
        export = exporting.make_job(acme)

        response = cancel(api, export)

        assert (response.status_code, response.json()["status"]) == (200, "canceled")
        assert response.json()["finished_at"] is not None
        assert jobs.run(export.pk) is None
        assert Export.objects.get().status == "canceled"

    def test_again_is_answered_the_same(self, api: Client, acme: Merchant) -> None:
        export = exporting.make_job(acme)
        first = cancel(api, export)

        assert cancel(api, export).json() == first.json()

    def test_takes_a_key(self, api: Client, acme: Merchant) -> None:
        export = exporting.make_job(acme)
        cancel(api, export, key="cancel-1")

        again = cancel(api, export, key="cancel-1")

        assert again.headers["Idempotent-Replayed"] == "true"

    def test_refuses_one_that_has_ended(self, api: Client, acme: Merchant) -> None:
        export = exporting.make_job(acme)
        jobs.run(export.pk)

        response = cancel(api, export)

        assert answers.code(response) == (409, "export_not_cancelable")
        assert response.json()["detail"].startswith("The export is completed.")
        assert Export.objects.get().status == "completed"

    def test_refuses_a_body(self, api: Client, acme: Merchant) -> None:
        response = cancel(api, exporting.make_job(acme), body={"reason": "x"})

        assert answers.field_errors(response) == [("reason", "unknown_field")]


class TestReportingKey:
    def test_may_do_all_of_this_and_nothing_else(self, acme: Merchant, make_payout: MakePayout) -> None:
        payout = make_payout()
        reporter = factories.client_of(acme, scopes=["reports:read"])

        export_id = post(reporter).json()["id"]
        allowed = [
            reporter.get("/api/payouts/"),
            reporter.get("/api/payouts/summary/"),
            reporter.get(URL),
            reporter.get(f"{URL}{export_id}/"),
            post(reporter, url=f"{URL}{export_id}/cancel/"),
        ]
        refused = [
            reporter.get(f"/api/payouts/{payout.id}/"),
            reporter.get(f"/api/payouts/{payout.id}/history/"),
            factories.post_payout(reporter, json.dumps(factories.payout_body())),
        ]

        assert exporting.ids(reporter.get("/api/payouts/export/").getvalue()) == [payout.id]
        assert [response.status_code for response in allowed] == [200] * 5
        assert [answers.code(response) for response in refused] == [(403, "scope_missing")] * 3


def test_times_are_in_utc(api: Client) -> None:
    created_at = datetime.fromisoformat(post(api).json()["created_at"])

    assert created_at.tzinfo == UTC
