"""Results of calls whose claim a failover took back. The invariant: no result is lost, and none is written to another
payout's attempt.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest
from django.db import connection, transaction

from payouts import operators
from payouts.engine import claims, outcomes, processing
from payouts.engine.claims import Claim
from payouts.engine.evidence import Evidence
from payouts.models import Payout, PayoutAttempt
from payouts.states import AttemptOutcome
from tests.support import database, fake_provider
from tests.support.fake_provider import FakeProvider

pytestmark = pytest.mark.django_db

MakePayout = Callable[..., Payout]

PAID = Evidence(AttemptOutcome.PAID, provider_reference="fake-1")
UNKNOWN = Evidence(AttemptOutcome.UNKNOWN, "timeout", "No answer in time.")
REFUSED = Evidence(AttemptOutcome.REJECTED, "invalid_account", "The account number is malformed.")


def claim_and_lose(payout: Payout) -> Claim:
    """Claim the payout, and lose the claim as a failover does. Ids come again, which a rollback does not do."""
    before = transaction.savepoint()
    claim = claims.claim_one(payout)
    assert claim is not None
    transaction.savepoint_rollback(before)
    give_again(claim.attempt_id)
    return claim


def give_again(attempt_id: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval(pg_get_serial_sequence('payouts_payoutattempt', 'id'), %s, false)", [attempt_id])


class TestLostAttempt:
    def test_is_appended_and_applied(self, live_payout: Payout) -> None:
        lost = claim_and_lose(live_payout)

        outcomes.record(lost, PAID)

        live_payout.refresh_from_db()
        assert (live_payout.status, live_payout.provider_reference) == ("paid", "fake-1")
        assert database.attempts(live_payout) == [(1, "send", "paid", "")]
        assert database.history(live_payout)[-1] == ("processing", "paid", "worker", "late evidence: provider: paid")
        appended = PayoutAttempt.objects.get()
        assert (appended.bank, appended.lease_token) == ("fake-bank", lost.payout.lease_token)

    def test_is_appended_once(self, live_payout: Payout) -> None:
        """The COMMIT succeeded, and its confirmation got lost."""
        lost = claim_and_lose(live_payout)

        for _ in range(2):
            outcomes.record(lost, PAID)

        assert database.attempts(live_payout) == [(1, "send", "paid", "")]

    def test_leaves_the_attempt_of_another_payout_alone(
        self, provider: FakeProvider, live_payout: Payout, make_live_payout: MakePayout
    ) -> None:
        lost = claim_and_lose(live_payout)
        other = make_live_payout()
        claim = claims.claim_one(other)
        assert claim is not None
        assert claim.attempt_id == lost.attempt_id

        outcomes.record(lost, PAID)

        other.refresh_from_db()
        assert (other.status, database.attempts(other)) == ("processing", [(1, "send", "", "")])
        assert database.attempts(live_payout) == [(1, "send", "paid", "")]
        outcomes.record(claim, REFUSED)
        other.refresh_from_db()
        assert (other.status, database.attempts(other)) == ("failed", [(1, "send", "rejected", "invalid_account")])

    def test_leaves_a_later_attempt_of_the_same_payout_alone(self, live_payout: Payout) -> None:
        """Its id and its number are the same."""
        lost = claim_and_lose(live_payout)
        claim = claims.claim_one(live_payout)
        assert claim is not None
        assert (claim.attempt_id, claim.payout.attempts_count) == (lost.attempt_id, lost.payout.attempts_count)

        outcomes.record(lost, UNKNOWN)

        assert database.attempts(live_payout) == [(1, "send", "", ""), (2, "send", "unknown", "timeout")]
        outcomes.record(claim, PAID)
        live_payout.refresh_from_db()
        assert live_payout.status == "paid"
        assert database.attempts(live_payout) == [(1, "send", "paid", ""), (2, "send", "unknown", "timeout")]

    def test_that_shows_nothing_is_kept_as_a_send_that_may_have_arrived(self, live_payout: Payout) -> None:
        lost = claim_and_lose(live_payout)

        outcomes.record(lost, UNKNOWN)

        live_payout.refresh_from_db()
        assert (live_payout.status, live_payout.first_sent_at) == ("pending", lost.claimed_at)
        claim = claims.claim_one(live_payout)
        assert claim is not None
        assert claim.maybe_sent

    def test_that_was_not_sent_begins_no_window(self, live_payout: Payout) -> None:
        outcomes.record(claim_and_lose(live_payout), Evidence(AttemptOutcome.NOT_SENT, "connection_refused"))

        live_payout.refresh_from_db()
        assert (live_payout.status, live_payout.first_sent_at) == ("pending", None)

    def test_with_a_refusal_of_the_only_send_fails(self, live_payout: Payout) -> None:
        of_one_send = replace(REFUSED, is_of_one_send=True)

        outcomes.record(claim_and_lose(live_payout), of_one_send)

        assert database.statuses(live_payout)[-1] == "failed"

    def test_with_a_refusal_of_one_of_two_sends_proves_nothing(self, live_payout: Payout) -> None:
        lost = claim_and_lose(live_payout)
        outcomes.record(lost, UNKNOWN)
        second = replace(REFUSED, is_of_one_send=True)
        again = claim_and_lose(Payout.objects.get(pk=live_payout.pk))

        outcomes.record(again, second)

        live_payout.refresh_from_db()
        assert (live_payout.status, live_payout.attempts_count) == ("pending", 2)


class TestLostChange:
    def test_of_the_terms_needs_an_operator(self, live_payout: Payout) -> None:
        before = transaction.savepoint()
        Payout.objects.filter(pk=live_payout.pk).update(amount=Decimal("12.00"))
        claim = claims.claim_one(live_payout)
        assert claim is not None
        transaction.savepoint_rollback(before)

        outcomes.record(claim, PAID)

        assert database.statuses(live_payout) == ["pending", "processing", "unknown", "requires_attention"]
        assert database.history(live_payout)[-1][3] == (
            "late evidence: provider: unknown, other_terms: "
            "The provider fake was called with other terms, 12.00 EUR, and said: provider: paid"
        )

    def test_of_the_terms_flags_a_payout_that_is_over(self, live_payout: Payout) -> None:
        before = transaction.savepoint()
        Payout.objects.filter(pk=live_payout.pk).update(amount=Decimal("12.00"))
        claim = claims.claim_one(live_payout)
        assert claim is not None
        transaction.savepoint_rollback(before)
        processing.process(live_payout.pk)

        outcomes.record(claim, PAID)

        live_payout.refresh_from_db()
        assert live_payout.status == "paid"
        assert live_payout.contradicted_at is not None

    def test_of_an_operators_retry_flags_the_payout(self, provider: FakeProvider, live_payout: Payout) -> None:
        provider.on_send(fake_provider.REJECTED)
        processing.process(live_payout.pk)
        before = transaction.savepoint()
        retried = operators.retry_payout(live_payout, actor="operator:ada", reason="the account is open again")
        claim = claims.claim_one(retried)
        assert claim is not None
        transaction.savepoint_rollback(before)

        outcomes.record(claim, PAID)

        live_payout.refresh_from_db()
        assert live_payout.status == "failed"
        assert live_payout.contradicted_at is not None
        assert live_payout.attempts.get(outcome="paid").reference_number == 2


class TestLostPayout:
    def test_is_applied_to_what_the_clients_retry_created(self, make_live_payout: MakePayout) -> None:
        before = transaction.savepoint()
        first = make_live_payout(idempotency_key="k-1")
        claim = claims.claim_one(first)
        assert claim is not None
        transaction.savepoint_rollback(before)
        second = make_live_payout(idempotency_key="k-1")

        outcomes.record(claim, PAID)

        assert second.pk != first.pk
        assert database.statuses(second) == ["pending", "processing", "paid"]
        assert database.attempts(second) == [(1, "send", "paid", "")]

    def test_is_logged_without_one(self, make_live_payout: MakePayout, caplog: pytest.LogCaptureFixture) -> None:
        before = transaction.savepoint()
        claim = claims.claim_one(make_live_payout(idempotency_key="k-1"))
        assert claim is not None
        transaction.savepoint_rollback(before)

        with caplog.at_level(logging.ERROR):
            outcomes.record(claim, PAID)

        (logged,) = [line for line in caplog.records if line.getMessage() == "payout.evidence.without_payout"]
        assert vars(logged)["reference"] == claim.instruction.reference
        assert vars(logged)["evidence"] == "provider: paid"
        assert not PayoutAttempt.objects.exists()
