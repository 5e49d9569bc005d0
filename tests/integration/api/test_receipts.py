"""What an API key is answered that may write and not read: id and status, whichever way it asks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.models import Merchant
from idempotency import retention
from idempotency.models import IdempotencyRecord
from payouts.models import Payout
from tests.support import answers, factories

MakePayout = Callable[..., Payout]

#: What no answer to such a key may have in it.
SECRETS = (b"Jane Doe", b"sandbox_paid", b"10.50", b"a secret note")


@pytest.fixture
def writer(acme: Merchant) -> Client:
    """A backend of acme that asks for payouts and may not read them."""
    return factories.client_of(acme, scopes=["payouts:write"])


def send(client: Client, method: str, path: str, body: Any = "", *, key: str | None = None) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    return getattr(client, method)(path, body, content_type="application/json", headers=headers)


def assert_receipt(response: Any, payout: Payout, *, status: str, code: int = 200) -> None:
    assert (response.status_code, response.json()) == (code, {"id": str(payout.id), "status": status})
    everything = response.content + repr(dict(response.headers)).encode()
    assert not [secret for secret in SECRETS if secret in everything]
    # No digest: with one it could check its guesses of what it is not shown.
    assert "-" not in response.headers["ETag"]


class TestWithoutAKey:
    def test_creates(self, writer: Client) -> None:
        response = factories.post_payout(writer, factories.payout_body(comment="a secret note"))

        payout = Payout.objects.get()
        assert_receipt(response, payout, status="pending", code=201)
        assert response.headers["Location"] == f"/api/payouts/{payout.id}/"
        assert response.headers["ETag"] == '"1"'

    def test_changes(self, writer: Client, make_payout: MakePayout) -> None:
        payout = make_payout(comment="a secret note")

        for body in ({}, {"reference": "x"}):
            assert_receipt(send(writer, "patch", f"/api/payouts/{payout.id}/", body), payout, status="pending")

    def test_cancels(self, writer: Client, make_payout: MakePayout) -> None:
        payout = make_payout(comment="a secret note")

        for _ in range(2):
            response = send(writer, "post", f"/api/payouts/{payout.id}/cancel/")
            assert_receipt(response, payout, status="canceled")

    def test_is_refused_in_the_same_words(self, writer: Client, make_processed_payout: MakePayout) -> None:
        paid = make_processed_payout()

        response = send(writer, "post", f"/api/payouts/{paid.id}/cancel/")

        assert answers.code(response) == (409, "payout_not_cancelable")
        assert response.headers["Content-Type"] == "application/problem+json"

    def test_may_not_read(self, writer: Client, make_payout: MakePayout) -> None:
        payout = make_payout()

        for path in ("/api/payouts/", f"/api/payouts/{payout.id}/", f"/api/payouts/{payout.id}/history/"):
            assert answers.code(writer.get(path)) == (403, "scope_missing")

    def test_with_reports_instead_of_payouts_may_not_either(self, acme: Merchant, make_payout: MakePayout) -> None:
        client = factories.client_of(acme, scopes=["payouts:write", "reports:read"])
        payout = make_payout()

        assert_receipt(send(client, "patch", f"/api/payouts/{payout.id}/", {}), payout, status="pending")


def create(client: Client, payout: Payout | None) -> Any:
    del payout
    return factories.post_payout(client, factories.payout_body(comment="a secret note"), key="k-1")


def change(client: Client, payout: Payout | None) -> Any:
    assert payout is not None
    return send(client, "patch", f"/api/payouts/{payout.id}/", {"reference": "x"}, key="k-1")


def cancel(client: Client, payout: Payout | None) -> Any:
    assert payout is not None
    return send(client, "post", f"/api/payouts/{payout.id}/cancel/", key="k-1")


@pytest.mark.parametrize(
    ("act", "status", "code"), [(create, "pending", 201), (change, "pending", 200), (cancel, "canceled", 200)]
)
class TestWithAKey:
    """The stored answer is whole, and is reduced for the key that asks."""

    @pytest.fixture
    def payout(self, act: Any, make_payout: MakePayout) -> Payout | None:
        return None if act is create else make_payout(comment="a secret note")

    def test_is_replayed_to_a_reader_whole(
        self, api: Client, writer: Client, payout: Payout | None, act: Any, status: str, code: int
    ) -> None:
        first = act(writer, payout)
        assert_receipt(first, Payout.objects.get(), status=status, code=code)

        replays = [act(api, payout), act(api, payout)]

        assert replays[0].content == replays[1].content == bytes(IdempotencyRecord.objects.get().response_body or b"")
        assert replays[0].json()["recipient_details"] == {"name": "Jane Doe", "account": "sandbox_paid"}
        assert {replay.headers["Idempotent-Replayed"] for replay in replays} == {"true"}

    def test_of_a_reader_is_replayed_to_a_writer_reduced(
        self, api: Client, writer: Client, payout: Payout | None, act: Any, status: str, code: int
    ) -> None:
        first = act(api, payout)

        replay = act(writer, payout)

        assert_receipt(replay, Payout.objects.get(), status=status, code=code)
        assert replay.headers["Idempotent-Replayed"] == "true"
        assert act(api, payout).content == first.content

    def test_is_reduced_after_the_purge(
        self, api: Client, writer: Client, payout: Payout | None, act: Any, status: str, code: int
    ) -> None:
        act(api, payout)
        assert retention.purge_responses(older_than=timedelta(0)) == 1

        replay = act(writer, payout)

        assert_receipt(replay, Payout.objects.get(), status=status)
        assert act(api, payout).json()["recipient_details"]["name"] == "Jane Doe"


def test_page_of_the_key_shows_nothing_of_the_payout_but_its_id(writer: Client) -> None:
    create(writer, None)

    response = writer.get("/api/idempotency-keys/k-1/")

    assert response.json() == {
        "key": "k-1",
        "mode": "test",
        "request": {"method": "POST", "path": "/api/payouts/"},
        "resource": {"type": "payout", "id": str(Payout.objects.get().id)},
        "response_status": 201,
        "response_purged_at": None,
        "created_at": response.json()["created_at"],
    }
