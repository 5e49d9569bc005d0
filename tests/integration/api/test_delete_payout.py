from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from accounts.models import Merchant
from payouts.models import Payout, PayoutTransition
from tests.support import answers, factories

MakePayout = Callable[..., Payout]


def delete(client: Client, payout: Payout, **headers: str) -> Any:
    # A refusal undoes the transaction of the service. Here that is the test's own, so a savepoint stands in for it.
    with transaction.atomic():
        return client.delete(f"/api/payouts/{payout.id}/", headers=headers)


def is_kept_undeleted(payout: Payout) -> bool:
    return Payout.objects.filter(pk=payout.pk, deleted_at=None, status=payout.status).exists()


class TestDeletePayout:
    def test_cancels_pending_payout_and_takes_it_off_the_list(self, acme: Merchant, make_payout: MakePayout) -> None:
        payout, other = make_payout(), make_payout()
        client = factories.client_of(acme)

        response = delete(client, payout)

        assert (response.status_code, response.content) == (204, b"")
        assert answers.code(client.get(f"/api/payouts/{payout.id}/")) == (404, "not_found")
        assert [row["id"] for row in client.get("/api/payouts/").json()["results"]] == [str(other.id)]
        # Kept for audit, with who did it.
        payout.refresh_from_db()
        assert payout.status == "canceled"
        assert payout.deleted_at is not None
        assert payout.due_at is None
        last = PayoutTransition.objects.filter(payout=payout).latest("id")
        assert (last.from_status, last.to_status) == ("pending", "canceled")
        assert last.actor.startswith("merchant:")

    def test_deletes_failed_payout(self, api: Client, make_processed_payout: MakePayout) -> None:
        payout = make_processed_payout("sandbox_rejected_account_closed")

        assert delete(api, payout).status_code == 204

        payout.refresh_from_db()
        assert payout.status == "failed"
        assert payout.deleted_at is not None

    def test_deletes_canceled_payout(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()
        api.post(f"/api/payouts/{payout.id}/cancel/", content_type="application/json")

        assert delete(api, payout).status_code == 204
        assert PayoutTransition.objects.filter(payout=payout).count() == 2

    @pytest.mark.parametrize(
        ("account", "status"),
        [("sandbox_paid", "paid"), ("sandbox_accepted", "submitted"), ("sandbox_unknown", "unknown")],
    )
    def test_refuses_where_money_may_move_or_has_moved(
        self, api: Client, make_processed_payout: MakePayout, account: str, status: str
    ) -> None:
        payout = make_processed_payout(account)

        response = delete(api, payout)

        assert payout.status == status
        assert answers.code(response) == (409, "payout_not_deletable")
        assert is_kept_undeleted(payout)

    def test_finds_nothing_the_second_time(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()
        delete(api, payout)

        assert answers.code(delete(api, payout)) == (404, "not_found")

    def test_keeps_its_idempotency_key_for_ever(self, api: Client) -> None:
        created = factories.post_payout(api, key="order-1")
        api.delete(created.headers["Location"])

        again = factories.post_payout(api, key="order-1")

        assert again.json()["id"] == created.json()["id"]
        assert Payout.objects.count() == 1

    def test_honours_if_match(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()

        refused = delete(api, payout, **{"If-Match": '"2"'})

        assert answers.code(refused) == (412, "payout_changed")
        assert is_kept_undeleted(payout)
        assert delete(api, payout, **{"If-Match": '"1"'}).status_code == 204

    def test_refuses_every_parameter(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()

        response = api.delete(f"/api/payouts/{payout.id}/?force=true")

        assert answers.field_errors(response) == [("force", "unknown_parameter")]
        assert is_kept_undeleted(payout)

    def test_hides_other_merchants_payout(self, globex_api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()

        assert answers.code(delete(globex_api, payout)) == (404, "not_found")
        assert is_kept_undeleted(payout)

    def test_hides_payout_of_the_other_mode(self, acme: Merchant, make_payout: MakePayout) -> None:
        payout = make_payout()

        assert answers.code(delete(factories.client_of(acme, mode="live"), payout)) == (404, "not_found")
        assert is_kept_undeleted(payout)

    def test_requires_api_key(self, client: Client, make_payout: MakePayout) -> None:
        payout = make_payout()

        assert answers.code(delete(client, payout)) == (401, "api_key_missing")
        assert is_kept_undeleted(payout)
