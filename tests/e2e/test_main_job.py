"""What a merchant does with a running platform: ask for a payout and see it paid."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import httpx
import pytest

from tests.support.backend import body, client_of, statuses_of, wait_for
from tests.support.stack import Stack

# Each token of the sandbox: the statuses that the payout goes through, and the code that it fails with.
SENT = ["pending", "processing"]
TOKENS = {
    "sandbox_paid": ([*SENT, "paid"], ""),
    "DE89370400440532013000": ([*SENT, "paid"], ""),
    "sandbox_rejected_account_closed": ([*SENT, "failed"], "account_closed"),
    "sandbox_rejected_account_not_found": ([*SENT, "failed"], "account_not_found"),
    "sandbox_rejected_bank_unavailable": ([*SENT, "failed"], "bank_unavailable"),
    "sandbox_rejected_compliance_refused": ([*SENT, "failed"], "compliance_refused"),
    "sandbox_rejected_currency_not_supported": ([*SENT, "failed"], "currency_not_supported"),
    "sandbox_rejected_insufficient_funds": ([*SENT, "failed"], "insufficient_funds"),
    "sandbox_rejected_invalid_account": ([*SENT, "failed"], "invalid_account"),
    "sandbox_rejected_limit_exceeded": ([*SENT, "failed"], "limit_exceeded"),
    "sandbox_rejected_recipient_name_mismatch": ([*SENT, "failed"], "recipient_name_mismatch"),
    "sandbox_accepted": ([*SENT, "submitted", "paid"], ""),
    "sandbox_unavailable_1": ([*SENT, *SENT, "paid"], ""),
    "sandbox_unknown": ([*SENT, "unknown", "paid"], ""),
    "sandbox_slow": ([*SENT, "paid"], ""),
    "sandbox_returned": ([*SENT, "paid", "returned"], "account_closed"),
}


@pytest.fixture(scope="module")
def acme(stack: Stack) -> Iterator[httpx.Client]:
    with client_of(stack, "acme") as client:
        yield client


class TestMainJob:
    def test_a_payout_is_asked_for_once_and_paid(self, stack: Stack, acme: httpx.Client) -> None:
        key = {"Idempotency-Key": str(uuid.uuid4())}

        created = acme.post("/api/payouts/", json=body(reference="order-7"), headers=key)
        paid = wait_for(acme, created.headers["Location"], "paid")
        replayed = acme.post("/api/payouts/", json=body(reference="order-7"), headers=key)
        reused = acme.post("/api/payouts/", json=body(reference="order-8"), headers=key)

        assert (created.status_code, created.json()["status"]) == (201, "pending")
        assert created.headers["Location"] == f"/api/payouts/{created.json()['id']}/"
        assert (paid["status"], paid["amount"], paid["currency"], paid["mode"]) == ("paid", "10.50", "EUR", "test")
        assert (replayed.status_code, replayed.headers["Idempotent-Replayed"]) == (201, "true")
        assert replayed.content == created.content
        assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
        assert statuses_of(acme, created.headers["Location"]) == ["pending", "processing", "paid"]

    def test_nobody_else_sees_it(self, stack: Stack, acme: httpx.Client) -> None:
        location = acme.post("/api/payouts/", json=body()).headers["Location"]

        with client_of(stack, "globex") as globex:
            answers = [
                globex.get(location),
                globex.get(f"{location}history/"),
                globex.patch(location, json={"comment": "mine"}),
                globex.delete(location),
                globex.post(f"{location}cancel/"),
            ]
        stranger = httpx.get(f"{stack.base_url}{location}")

        assert [answer.status_code for answer in answers] == [404] * 5
        assert stranger.status_code == 401
        assert acme.get(location).status_code == 200

    def test_the_worker_is_quick(self, stack: Stack, acme: httpx.Client) -> None:
        """The doorbell works: nobody waits for the sweeper's next round."""
        started = time.monotonic()
        location = acme.post("/api/payouts/", json=body()).headers["Location"]

        paid = wait_for(acme, location, "paid")

        assert paid["status"] == "paid"
        assert time.monotonic() - started < 2

    def test_each_token_reaches_its_end(self, stack: Stack, acme: httpx.Client) -> None:
        """All at once: the slow ones wait for their back-off side by side."""
        locations = {account: acme.post("/api/payouts/", json=body(account)).headers["Location"] for account in TOKENS}

        ended = {account: wait_for(acme, locations[account], TOKENS[account][0][-1]) for account in TOKENS}

        found = {account: (statuses_of(acme, locations[account]), ended[account]["failure_code"]) for account in TOKENS}
        # An ask that came too early for a final answer leaves no transition, so the paths are exact.
        assert found == TOKENS

    def test_readiness_and_figures(self, stack: Stack) -> None:
        ready, metrics = (httpx.get(f"{stack.base_url}/{path}") for path in ("readyz", "metrics"))

        assert (ready.status_code, ready.json()["status"]) == (200, "ok")
        assert "payouts_due " in metrics.text
