"""The other requests that take a key: cancel and PATCH."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts import services as accounts_services
from accounts.models import Merchant
from idempotency.models import IdempotencyRecord
from payouts.engine import processing
from payouts.models import Payout, PayoutTransition
from tests.support import answers, factories, racing

MakePayout = Callable[..., Payout]


def send(client: Client, method: str, path: str, body: Any = None, **headers: str) -> Any:
    data = {} if body is None else body
    return getattr(client, method)(path, data, content_type="application/json", headers=headers)


def cancel(client: Client, payout: Payout, *, key: str, body: Any = None) -> Any:
    return send(client, "post", f"/api/payouts/{payout.id}/cancel/", body, **{"Idempotency-Key": key})


def patch(client: Client, payout: Payout, body: Any, *, key: str, **headers: str) -> Any:
    return send(client, "patch", f"/api/payouts/{payout.id}/", body, **{"Idempotency-Key": key, **headers})


@pytest.mark.django_db
class TestCancel:
    def test_is_replayed_byte_for_byte(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()
        first = cancel(api, payout, key="k-1")

        second = cancel(api, payout, key="k-1")

        assert (first.status_code, second.status_code) == (200, 200)
        assert (second.content, second.headers["ETag"]) == (first.content, first.headers["ETag"])
        assert "Idempotent-Replayed" not in first.headers
        assert second.headers["Idempotent-Replayed"] == "true"
        assert PayoutTransition.objects.filter(to_status="canceled").count() == 1

    def test_without_a_body_is_that_with_an_empty_one(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()
        cancel(api, payout, key="k-1", body="")

        assert cancel(api, payout, key="k-1", body={}).headers["Idempotent-Replayed"] == "true"

    def test_that_is_refused_leaves_the_key_free(self, api: Client, make_processed_payout: MakePayout) -> None:
        payout = make_processed_payout()

        response = cancel(api, payout, key="k-1")

        assert answers.code(response) == (409, "payout_not_cancelable")
        assert IdempotencyRecord.objects.count() == 0

    def test_of_a_strangers_payout_takes_no_key(self, globex_api: Client, make_payout: MakePayout) -> None:
        response = cancel(globex_api, make_payout(), key="k-1")

        assert answers.code(response) == (404, "not_found")
        assert IdempotencyRecord.objects.count() == 0

    def test_of_another_payout_is_another_request(self, api: Client, make_payout: MakePayout) -> None:
        first, second = make_payout(), make_payout()
        cancel(api, first, key="k-1")

        response = cancel(api, second, key="k-1")

        assert answers.code(response) == (422, "idempotency_key_reused")
        second.refresh_from_db()
        assert second.status == "pending"

    def test_with_the_key_of_the_payout_is_another_request(self, api: Client) -> None:
        """One key, one request: the key that asked for the payout cannot also cancel it."""
        factories.post_payout(api, key="k-1")
        payout = Payout.objects.get()

        response = cancel(api, payout, key="k-1")

        assert answers.code(response) == (422, "idempotency_key_reused")
        assert "was used for POST /api/payouts/. " in response.json()["detail"]
        payout.refresh_from_db()
        assert payout.status == "pending"

    def test_needs_no_key_even_where_the_merchant_must_send_one(self) -> None:
        """Canceling twice does no harm."""
        client = factories.client_of(accounts_services.create_merchant("strict", require_idempotency_key=True))
        location = factories.post_payout(client, key="k-1").headers["Location"]

        assert send(client, "post", f"{location}cancel/").status_code == 200

    def test_keeps_the_payout_from_being_sent(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()
        cancel(api, payout, key="k-1")
        processing.process(payout.id)

        assert cancel(api, payout, key="k-1").json()["status"] == "canceled"
        assert payout.attempts.count() == 0


@pytest.mark.django_db
class TestUpdate:
    def test_is_replayed_byte_for_byte(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()
        first = patch(api, payout, {"amount": "7.00"}, key="k-1")
        patch(api, payout, {"amount": "8.00"}, key="k-2")

        second = patch(api, payout, {"amount": "7.00"}, key="k-1")

        payout.refresh_from_db()
        assert (second.content, second.headers["ETag"]) == (first.content, '"2"')
        assert second.headers["Idempotent-Replayed"] == "true"
        # A retry that comes late undoes nothing.
        assert (str(payout.amount.normalize()), payout.version) == ("8", 3)

    def test_without_a_key_is_done_again(self, api: Client, make_payout: MakePayout) -> None:
        path = f"/api/payouts/{make_payout().id}/"
        for comment in ("one", "two", "one"):
            assert send(api, "patch", path, {"comment": comment}).status_code == 200

        assert (Payout.objects.get().comment, Payout.objects.get().version) == ("one", 4)
        assert IdempotencyRecord.objects.count() == 0

    def test_with_another_body_is_refused(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()
        patch(api, payout, {"comment": "one"}, key="k-1")

        response = patch(api, payout, {"comment": "two"}, key="k-1")

        assert answers.code(response) == (422, "idempotency_key_reused")
        payout.refresh_from_db()
        assert payout.comment == "one"

    def test_is_replayed_whatever_the_version_is_now(self, api: Client, make_payout: MakePayout) -> None:
        """The retry says If-Match as the first did, and the first has changed the version."""
        payout = make_payout()
        etag = {"If-Match": '"1"'}
        first = patch(api, payout, {"comment": "one"}, key="k-1", **etag)

        second = patch(api, payout, {"comment": "one"}, key="k-1", **etag)

        assert (first.status_code, second.status_code) == (200, 200)
        assert second.content == first.content

    @pytest.mark.parametrize("etag", ['"9"', "nonsense"])
    def test_that_is_refused_leaves_the_key_free(self, api: Client, make_payout: MakePayout, etag: str) -> None:
        payout = make_payout()
        refused = patch(api, payout, {"comment": "one"}, key="k-1", **{"If-Match": etag})

        accepted = patch(api, payout, {"comment": "one"}, key="k-1", **{"If-Match": '"1"'})

        assert refused.status_code in {400, 412}
        assert accepted.status_code == 200
        assert "Idempotent-Replayed" not in accepted.headers

    def test_with_a_malformed_key_is_refused(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()

        response = patch(api, payout, {"comment": "one"}, key="a b")

        assert answers.field_errors(response) == [("Idempotency-Key", "idempotency_key_malformed")]
        payout.refresh_from_db()
        assert payout.version == 1


@pytest.mark.django_db(transaction=True)
class TestRaces:
    def test_of_equal_cancels_all_get_one_answer(self, acme: Merchant, make_payout: MakePayout) -> None:
        payout = make_payout()
        client = factories.client_of(acme)

        responses = racing.run_together(*[lambda: cancel(client, payout, key="k-1")] * 12)

        assert {(response.status_code, response.content) for response in responses} == {(200, responses[0].content)}
        assert [response.headers.get("Idempotent-Replayed") for response in responses].count("true") == 11
        assert PayoutTransition.objects.filter(to_status="canceled").count() == 1

    def test_of_equal_changes_one_is_made(self, acme: Merchant, make_payout: MakePayout) -> None:
        payout = make_payout()
        client = factories.client_of(acme)

        responses = racing.run_together(*[lambda: patch(client, payout, {"comment": "one"}, key="k-1")] * 12)

        assert {(response.status_code, response.content) for response in responses} == {(200, responses[0].content)}
        payout.refresh_from_db()
        assert payout.version == 2

    def test_of_a_cancel_and_the_worker_one_wins(self, acme: Merchant, make_payout: MakePayout) -> None:
        payout = make_payout()
        client = factories.client_of(acme)

        answer, _ = racing.run_together(
            lambda: cancel(client, payout, key="k-1"), lambda: processing.process(payout.id)
        )

        payout.refresh_from_db()
        canceled = answer.status_code == 200
        assert payout.status == ("canceled" if canceled else "paid")
        assert payout.attempts.count() == (0 if canceled else 1)
        assert IdempotencyRecord.objects.count() == (1 if canceled else 0)
