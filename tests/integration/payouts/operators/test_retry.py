"""A retry by an operator, which is never the cause of a second payment."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.db.models.functions import Now

from payouts import errors, operators, services
from payouts.engine import pauses, processing, retries
from payouts.models import Payout
from payouts.providers import base
from payouts.states import PayoutStatus
from tests.support import database, fake_provider, telling
from tests.support.fake_provider import FakeProvider
from tests.support.operating import ADA, UNUSABLE_REASONS, process_again

pytestmark = pytest.mark.django_db


def references(provider: FakeProvider) -> list[str]:
    return [call.instruction.reference for call in provider.calls if call.kind == "send"]


class TestRetry:
    def test_has_it_sent_again_with_the_reason_on_record(
        self, provider: FakeProvider, unreached_payout: Payout
    ) -> None:
        assert (unreached_payout.status, unreached_payout.failure_code) == ("failed", "provider_unavailable")

        retried = operators.retry_payout(unreached_payout, actor="operator:ada", reason=" the bank is back ")

        assert (retried.status, retried.failure_code, retried.failure_message) == ("pending", "", "")
        assert (retried.first_sent_at, retried.version) == (None, unreached_payout.version + 1)
        assert database.history(retried)[-1] == ("failed", "pending", "operator:ada", "the bank is back")
        attempt = retried.attempts.get(kind="operator")
        assert (attempt.number, attempt.outcome, attempt.actor) == (3, "retried", "operator:ada")
        assert (attempt.message, attempt.finished_at is not None) == ("the bank is back", True)
        due_in = database.due_in_seconds(retried)
        assert due_in is not None
        assert -5 < due_in <= 0
        provider.on_send(fake_provider.PAID)
        processing.process(retried.pk)
        assert database.statuses(retried)[-1] == "paid"

    def test_keeps_the_reference_of_what_was_never_sent(self, provider: FakeProvider, unreached_payout: Payout) -> None:
        retried = operators.retry_payout(unreached_payout, **ADA)

        assert (retried.reference_number, retried.provider_key) == (1, str(retried.pk))

    def test_gives_it_its_whole_day_again(self, provider: FakeProvider, unreached_payout: Payout) -> None:
        """It failed for not having got through for a day; that day is over and does not count any more."""
        operators.retry_payout(unreached_payout, **ADA)

        process_again(unreached_payout)

        assert (unreached_payout.status, unreached_payout.failure_code) == ("pending", "")
        due_in = database.due_in_seconds(unreached_payout)
        assert due_in is not None
        # And the delays begin anew: half of the first 5 s.
        assert 0 < due_in < 5

    def test_gives_what_was_refused_another_reference(self, provider: FakeProvider, refused_payout: Payout) -> None:
        """The provider would refuse the first for ever, and it has documented that nothing was created under it."""
        retried = operators.retry_payout(refused_payout, **ADA)

        assert (retried.reference_number, retried.provider_key) == (2, f"{retried.pk}-2")
        process_again(refused_payout)
        assert refused_payout.status == "paid"
        assert references(provider) == [str(retried.pk), f"{retried.pk}-2"]
        assert list(refused_payout.attempts.order_by("number").values_list("kind", "reference_number")) == [
            ("send", 1),
            ("operator", 1),
            ("send", 2),
        ]

    def test_gives_another_reference_each_time(self, provider: FakeProvider, refused_payout: Payout) -> None:
        provider.on_send(fake_provider.REJECTED)

        for _ in range(2):
            operators.retry_payout(refused_payout, **ADA)
            process_again(refused_payout)

        assert refused_payout.status == "failed"
        assert references(provider) == [f"{refused_payout.pk}{suffix}" for suffix in ("", "-2", "-3")]

    @pytest.mark.parametrize("how", ["callback", "ask"])
    def test_gives_another_reference_however_it_was_refused(
        self, provider: FakeProvider, live_payout: Payout, how: str
    ) -> None:
        provider.on_send(fake_provider.ACCEPTED)
        process_again(live_payout)
        if how == "callback":
            telling.tell(live_payout.pk, "rejected", code="closed")
        else:
            provider.on_ask(base.Report(base.ReportKind.REJECTED, code="closed"))
            process_again(live_payout)

        retried = operators.retry_payout(live_payout, **ADA)

        assert retried.reference_number == 2

    @pytest.mark.parametrize("code", ["provider_unavailable", "resolved_by_operator", ""])
    def test_does_not_mistake_the_providers_code_for_ours(
        self, provider: FakeProvider, live_payout: Payout, code: str
    ) -> None:
        provider.on_send(base.Rejected(code, "Our partner is down."))
        process_again(live_payout)

        assert operators.retry_payout(live_payout, **ADA).reference_number == 2

    def test_keeps_the_reference_of_what_an_operator_has_failed(
        self, provider: FakeProvider, stuck_payout: Payout
    ) -> None:
        """A judgement that was wrong must not pay twice."""
        operators.resolve_payout(stuck_payout, target=PayoutStatus.FAILED, **ADA)

        retried = operators.retry_payout(stuck_payout, **ADA)

        assert retried.reference_number == 1
        process_again(stuck_payout)
        assert stuck_payout.status == "paid"
        assert references(provider) == [str(stuck_payout.pk)] * 2

    def test_keeps_it_although_a_second_send_was_refused(self, provider: FakeProvider, live_payout: Payout) -> None:
        """The first send's outcome is the operator's judgement. The refusal of the second says nothing of it."""
        provider.promise(idempotency_window_seconds=48 * 3600.0)
        provider.on_send(fake_provider.UNKNOWN, fake_provider.REJECTED, fake_provider.PAID)
        provider.on_ask(fake_provider.NOT_FOUND)
        for _ in range(2):
            process_again(live_payout)
        database.age(live_payout, seconds=retries.UNKNOWN_GIVE_UP_SECONDS)
        process_again(live_payout)
        operators.resolve_payout(live_payout, target=PayoutStatus.FAILED, **ADA)

        retried = operators.retry_payout(live_payout, **ADA)

        assert retried.reference_number == 1
        process_again(live_payout)
        assert references(provider) == [str(live_payout.pk)] * 3

    def test_leaves_a_refusal_of_the_first_send_open(self, provider: FakeProvider, stuck_payout: Payout) -> None:
        """Sent before with an unknown outcome: the second send's refusal says nothing of the first."""
        provider.on_send(fake_provider.REJECTED)
        operators.retry_payout(stuck_payout, **ADA)

        process_again(stuck_payout)

        assert (stuck_payout.status, stuck_payout.failure_code) == ("unknown", "")

    def test_does_not_take_not_sent_for_proof(self, provider: FakeProvider, stuck_payout: Payout) -> None:
        provider.on_send(fake_provider.UNAVAILABLE)
        operators.retry_payout(stuck_payout, **ADA)

        process_again(stuck_payout)

        assert stuck_payout.status == "unknown"

    @pytest.mark.parametrize(("reason", "refusal"), UNUSABLE_REASONS)
    def test_needs_a_reason(self, refused_payout: Payout, reason: str, refusal: type[Exception]) -> None:
        before = Payout.objects.values().get()

        with pytest.raises(refusal), transaction.atomic():
            operators.retry_payout(refused_payout, actor="operator:ada", reason=reason)

        assert Payout.objects.values().get() == before
        assert not refused_payout.attempts.filter(kind="operator").exists()

    @pytest.mark.parametrize(
        "status",
        [status for status in PayoutStatus if status not in {PayoutStatus.FAILED, PayoutStatus.REQUIRES_ATTENTION}],
    )
    def test_refuses_every_other_status(self, live_payout: Payout, status: PayoutStatus) -> None:
        database.put_into(live_payout, status)

        with (
            pytest.raises(errors.PayoutNotRetryable, match=f"This payout is {status.label.lower()}"),
            transaction.atomic(),
        ):
            operators.retry_payout(live_payout, **ADA)

        live_payout.refresh_from_db()
        assert (live_payout.status, live_payout.attempts_count) == (status, 0)

    def test_refuses_a_deleted_one(self, refused_payout: Payout) -> None:
        services.delete_payout(refused_payout, actor="merchant:x")

        with pytest.raises(errors.PayoutDeletedByMerchant), transaction.atomic():
            operators.retry_payout(refused_payout, **ADA)

        refused_payout.refresh_from_db()
        assert refused_payout.status == "failed"

    def test_refuses_a_contradicted_one_until_somebody_has_looked(self, contradicted_payout: Payout) -> None:
        with pytest.raises(errors.PayoutContradicted), transaction.atomic():
            operators.retry_payout(contradicted_payout, **ADA)
        contradicted_payout.refresh_from_db()
        assert contradicted_payout.status == "failed"

    def test_refuses_one_that_its_provider_has_called_paid(self, contradicted_payout: Payout) -> None:
        """Acknowledged or not: it would be paid twice, and we know it."""
        operators.acknowledge_contradiction(contradicted_payout, **ADA)

        with pytest.raises(errors.PayoutShownPaid), transaction.atomic():
            operators.retry_payout(contradicted_payout, **ADA)

        contradicted_payout.refresh_from_db()
        assert contradicted_payout.status == "failed"

    def test_refuses_one_that_a_worker_asks_about(self, provider: FakeProvider, stuck_payout: Payout) -> None:
        Payout.objects.filter(pk=stuck_payout.pk).update(
            lease_token=uuid.uuid4(), lease_expires_at=Now() + timedelta(seconds=60)
        )

        with pytest.raises(errors.PayoutInHand), transaction.atomic():
            operators.retry_payout(stuck_payout, **ADA)
        with pytest.raises(errors.PayoutInHand), transaction.atomic():
            operators.resolve_payout(stuck_payout, target=PayoutStatus.PAID, **ADA)

        stuck_payout.refresh_from_db()
        assert stuck_payout.status == "requires_attention"


class TestLeaseThatHasEnded:
    """Its worker died. The sweeper would end the lease; the operator does not wait for it."""

    def test_of_a_question_holds_up_no_retry(self, provider: FakeProvider, stuck_payout: Payout) -> None:
        Payout.objects.filter(pk=stuck_payout.pk).update(lease_token=uuid.uuid4(), lease_expires_at=Now())

        retried = operators.retry_payout(stuck_payout, **ADA)

        assert (retried.status, retried.lease_token) == ("pending", None)

    def test_of_a_send_makes_the_payout_unknown(self, provider: FakeProvider, live_payout: Payout) -> None:
        """So it can be resolved by a statement, and asked about; it may have been sent."""
        fake_provider.abandon(provider, live_payout)

        asked = operators.ask_about_payout(live_payout, **ADA)
        resolved = operators.resolve_payout(live_payout, target=PayoutStatus.PAID, evidence="line 7", **ADA)

        assert (asked.status, resolved.status) == ("unknown", "paid")
        assert database.history(live_payout)[2] == (
            "processing",
            "unknown",
            "worker",
            "the lease ran out: the worker may have sent it before it died",
        )

    def test_of_a_send_does_not_make_it_retryable(self, provider: FakeProvider, live_payout: Payout) -> None:
        fake_provider.abandon(provider, live_payout)

        with pytest.raises(errors.PayoutNotRetryable, match="This payout is unknown"), transaction.atomic():
            operators.retry_payout(live_payout, **ADA)

    def test_that_has_not_ended_does_hold_up(self, provider: FakeProvider, live_payout: Payout) -> None:
        fake_provider.abandon(provider, live_payout)
        Payout.objects.filter(pk=live_payout.pk).update(lease_expires_at=Now() + timedelta(seconds=60))

        with pytest.raises(errors.PayoutNotAskable), transaction.atomic():
            operators.ask_about_payout(live_payout, **ADA)

        live_payout.refresh_from_db()
        assert live_payout.status == "processing"


class TestRetryWithinTheWindow:
    """What may have been sent is sent again only while its provider is sure to know the reference."""

    def test_keeps_the_reference_and_the_window(self, provider: FakeProvider, stuck_payout: Payout) -> None:
        first_sent_at = stuck_payout.first_sent_at

        retried = operators.retry_payout(stuck_payout, **ADA)

        assert first_sent_at is not None
        assert (retried.reference_number, retried.first_sent_at) == (1, first_sent_at)
        process_again(stuck_payout)
        assert stuck_payout.status == "paid"
        assert references(provider) == [str(stuck_payout.pk)] * 2

    def test_refuses_when_it_is_over(self, provider: FakeProvider, stuck_payout: Payout) -> None:
        provider.promise(idempotency_window_seconds=24 * 3600.0)

        with pytest.raises(errors.WindowOver), transaction.atomic():
            operators.retry_payout(stuck_payout, **ADA)

        stuck_payout.refresh_from_db()
        assert stuck_payout.status == "requires_attention"
        assert provider.kinds == ["send", "ask"]

    def test_does_not_begin_anew_with_the_retry(self, provider: FakeProvider, stuck_payout: Payout) -> None:
        """Sent 24 h ago and now, both answers lost. Another day later a machine must not send it a third time."""
        provider.on_send(fake_provider.UNKNOWN)
        provider.on_ask(fake_provider.NOT_FOUND)
        operators.retry_payout(stuck_payout, **ADA)
        process_again(stuck_payout)
        assert provider.kinds == ["send", "ask", "send"]
        database.age(stuck_payout, seconds=24 * 3600)

        process_again(stuck_payout)

        assert provider.kinds == ["send", "ask", "send", "ask"]
        assert stuck_payout.status == "requires_attention"

    def test_may_end_while_it_waits(self, provider: FakeProvider, stuck_payout: Payout) -> None:
        """Retried in time, and then held back by a pause until the provider may have forgotten it."""
        operators.retry_payout(stuck_payout, **ADA)
        pauses.pause(pauses.Scope(), **ADA)
        process_again(stuck_payout)
        assert stuck_payout.status == "pending"
        database.age(stuck_payout, seconds=24 * 3600)
        pauses.resume(pauses.Scope(), actor="operator:ada")

        process_again(stuck_payout)

        assert provider.kinds == ["send", "ask"]
        assert stuck_payout.status == "unknown"
        assert database.attempts(stuck_payout)[-1] == (4, "send", "not_sent", "window_over")

    @pytest.mark.parametrize("window_seconds", [0.0, 60.0])
    def test_that_a_provider_does_not_have_needs_another_reference(
        self, provider: FakeProvider, stuck_payout: Payout, window_seconds: float
    ) -> None:
        """There is nothing that the first could protect from, and under it the payout could never be sent again."""
        provider.promise(idempotency_window_seconds=window_seconds)
        operators.resolve_payout(stuck_payout, target=PayoutStatus.FAILED, **ADA)

        operators.retry_payout(stuck_payout, **ADA)

        process_again(stuck_payout)
        assert stuck_payout.status == "paid"
        assert references(provider) == [str(stuck_payout.pk), f"{stuck_payout.pk}-2"]

    def test_of_nothing_that_was_sent_does_not_matter(self, provider: FakeProvider, refused_payout: Payout) -> None:
        """A payout that was refused has a reference that its provider never saw."""
        provider.promise(idempotency_window_seconds=0.0)
        database.age(refused_payout, seconds=10**6)
        operators.retry_payout(refused_payout, **ADA)

        process_again(refused_payout)

        assert refused_payout.status == "paid"
        assert references(provider) == [str(refused_payout.pk), f"{refused_payout.pk}-2"]


class TestAfterARetry:
    """Pending again, and still not the merchant's to take back where money may have moved."""

    def test_what_may_have_been_sent_is_not_canceled(self, provider: FakeProvider, stuck_payout: Payout) -> None:
        operators.retry_payout(stuck_payout, **ADA)

        with pytest.raises(errors.PayoutNotCancelable, match="may have been sent before"), transaction.atomic():
            services.cancel_payout(stuck_payout, actor="merchant:x")
        with pytest.raises(errors.PayoutNotCancelable, match="may have been sent before"), transaction.atomic():
            services.delete_payout(stuck_payout, actor="merchant:x")

        stuck_payout.refresh_from_db()
        assert (stuck_payout.status, stuck_payout.deleted_at) == ("pending", None)

    @pytest.mark.parametrize(
        "change",
        [{"amount": 99}, {"currency": "USD"}, {"recipient_details": {"name": "M", "account": "1"}}, {"reference": "x"}],
    )
    def test_what_may_have_been_sent_is_not_changed(
        self, provider: FakeProvider, stuck_payout: Payout, change: dict[str, Any]
    ) -> None:
        operators.retry_payout(stuck_payout, **ADA)
        before = Payout.objects.values().get()

        with pytest.raises(errors.PayoutNotChangeable, match="may have been sent before"), transaction.atomic():
            services.update_payout(stuck_payout, **change)

        assert Payout.objects.values().get() == before
        services.update_payout(stuck_payout, comment="a note is free")

    def test_what_was_refused_is_the_merchants_again(self, provider: FakeProvider, refused_payout: Payout) -> None:
        operators.retry_payout(refused_payout, **ADA)

        services.update_payout(refused_payout, recipient_details={"name": "Jane Doe", "account": "2"})
        canceled = services.cancel_payout(refused_payout, actor="merchant:x")

        assert canceled.status == "canceled"
        process_again(refused_payout)
        assert references(provider) == [str(refused_payout.pk)]

    def test_late_word_of_the_first_send_settles_it_unsent(self, provider: FakeProvider, stuck_payout: Payout) -> None:
        operators.retry_payout(stuck_payout, **ADA)
        telling.tell(stuck_payout.pk, "paid")

        process_again(stuck_payout)

        assert (stuck_payout.status, stuck_payout.contradicted_at) == ("paid", None)
        assert references(provider) == [str(stuck_payout.pk)]
