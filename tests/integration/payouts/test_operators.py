"""What an operator may do: recorded with name and reason, and never the cause of a second payment."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import transaction
from django.db.models.functions import Now

from payouts import errors, operators, services
from payouts.engine import pauses, processing, retries
from payouts.models import Payout
from payouts.providers import base
from payouts.states import PayoutStatus
from tests.support import database, fake_provider, racing, telling
from tests.support.doorbell import Doorbell
from tests.support.fake_provider import Answer, FakeProvider

pytestmark = pytest.mark.django_db

ADA: dict[str, Any] = {"actor": "operator:ada", "reason": "line 7 of the statement"}
UNUSABLE_REASONS = [
    ("", errors.ReasonMissing),
    (" \n\t ", errors.ReasonMissing),
    ("r" * 501, errors.ReasonUnusable),
    ("\u2800\u200b", errors.ReasonMissing),
    ("a\x00b", errors.ReasonUnusable),
    ("line 7\nand 8", errors.ReasonUnusable),
    ("a\u2028b", errors.ReasonUnusable),
    ("a\ud800", errors.ReasonUnusable),
]
FINAL_FOR_OPERATORS = [PayoutStatus.PAID, PayoutStatus.CANCELED, PayoutStatus.RETURNED]

MakePayout = Callable[..., Payout]


def process_again(payout: Payout) -> Payout:
    """Let its time come, process it, and return it as it is now."""
    database.make_due(payout)
    processing.process(payout.pk)
    payout.refresh_from_db()
    return payout


def references(provider: FakeProvider) -> list[str]:
    return [call.instruction.reference for call in provider.calls if call.kind == "send"]


@pytest.fixture
def refused_payout(provider: FakeProvider, live_payout: Payout) -> Payout:
    """Its provider refused to send it."""
    provider.on_send(fake_provider.REJECTED, fake_provider.PAID)
    return process_again(live_payout)


@pytest.fixture
def unreached_payout(provider: FakeProvider, live_payout: Payout) -> Payout:
    """Nobody got through to its provider for a day."""
    provider.on_send(fake_provider.UNAVAILABLE)
    process_again(live_payout)
    database.age(live_payout, seconds=retries.NOT_SENT_GIVE_UP_SECONDS)
    return process_again(live_payout)


@pytest.fixture
def stuck_payout(provider: FakeProvider, live_payout: Payout) -> Payout:
    """It was sent, and its provider has not said in time what became of it. It remembers references for two days."""
    provider.promise(idempotency_window_seconds=48 * 3600.0)
    provider.on_send(fake_provider.UNKNOWN, fake_provider.PAID)
    provider.on_ask(fake_provider.UNKNOWN)
    process_again(live_payout)
    database.age(live_payout, seconds=retries.UNKNOWN_GIVE_UP_SECONDS)
    return process_again(live_payout)


@pytest.fixture
def contradicted_payout(refused_payout: Payout) -> Payout:
    telling.tell(refused_payout.pk, "paid")
    refused_payout.refresh_from_db()
    return refused_payout


class TestRetry:
    def test_has_it_sent_again_with_the_reason_on_record(
        self, provider: FakeProvider, unreached_payout: Payout
    ) -> None:
        assert (unreached_payout.status, unreached_payout.failure_code) == ("failed", "provider_unavailable")

        retried = operators.retry_payout(unreached_payout, actor="operator:ada", reason=" the bank is back ")

        assert (retried.status, retried.failure_code, retried.failure_message) == ("pending", "", "")
        assert (retried.first_sent_at, retried.rung_at, retried.version) == (None, None, unreached_payout.version + 1)
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
        Payout.objects.filter(pk=stuck_payout.pk).update(lease_token=uuid.uuid4(), lease_expires_at=Now())

        with pytest.raises(errors.PayoutInHand), transaction.atomic():
            operators.retry_payout(stuck_payout, **ADA)
        with pytest.raises(errors.PayoutInHand), transaction.atomic():
            operators.resolve_payout(stuck_payout, target=PayoutStatus.PAID, **ADA)

        stuck_payout.refresh_from_db()
        assert stuck_payout.status == "requires_attention"


class TestResolveContradicted:
    def test_a_failed_one_was_paid_after_all(self, contradicted_payout: Payout) -> None:
        resolved = operators.resolve_payout(contradicted_payout, target=PayoutStatus.PAID, **ADA)

        assert (resolved.status, resolved.failure_code, resolved.contradicted_at) == ("paid", "", None)
        assert database.statuses(resolved)[-4:] == ["failed", "pending", "processing", "paid"]
        assert {row[2] for row in database.history(resolved)[-3:]} == {ADA["actor"]}

    def test_a_failed_one_is_not_failed_once_more(self, contradicted_payout: Payout) -> None:
        with pytest.raises(errors.PayoutNotInAttention), transaction.atomic():
            operators.resolve_payout(contradicted_payout, target=PayoutStatus.FAILED, **ADA)

    def test_a_pending_one_is_not_the_merchants_to_cancel(self, provider: FakeProvider, refused_payout: Payout) -> None:
        operators.retry_payout(refused_payout, **ADA)
        telling.tell(refused_payout.pk, "paid")

        with pytest.raises(errors.PayoutNotCancelable), transaction.atomic():
            services.cancel_payout(refused_payout, actor="merchant:x")
        with pytest.raises(errors.PayoutNotChangeable), transaction.atomic():
            services.update_payout(refused_payout, amount=99)

        refused_payout.refresh_from_db()
        assert refused_payout.status == "pending"
        resolved = operators.resolve_payout(refused_payout, target=PayoutStatus.FAILED, **ADA)
        assert (resolved.status, resolved.failure_code) == ("failed", "resolved_by_operator")


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


class TestResolve:
    @pytest.mark.parametrize(
        ("target", "failure_code", "outcome"), [("paid", "", "paid"), ("failed", "resolved_by_operator", "rejected")]
    )
    def test_settles_with_the_reason_on_record(
        self, stuck_payout: Payout, target: str, failure_code: str, outcome: str
    ) -> None:
        resolved = operators.resolve_payout(
            stuck_payout, target=PayoutStatus(target), actor="operator:ada", reason=" line 7 "
        )

        assert (resolved.status, resolved.failure_code, resolved.due_at) == (target, failure_code, None)
        assert database.history(resolved)[-1] == ("requires_attention", target, "operator:ada", "line 7")
        attempt = resolved.attempts.get(kind="operator")
        assert (attempt.number, attempt.outcome, attempt.actor, attempt.message) == (
            3,
            outcome,
            "operator:ada",
            "line 7",
        )

    @pytest.mark.parametrize(("reason", "refusal"), UNUSABLE_REASONS)
    def test_needs_a_reason(self, stuck_payout: Payout, reason: str, refusal: type[Exception]) -> None:
        with pytest.raises(refusal), transaction.atomic():
            operators.resolve_payout(stuck_payout, target=PayoutStatus.PAID, actor="operator:ada", reason=reason)

        stuck_payout.refresh_from_db()
        assert (stuck_payout.status, stuck_payout.attempts_count) == ("requires_attention", 2)

    @pytest.mark.parametrize("status", [status for status in PayoutStatus if status != PayoutStatus.REQUIRES_ATTENTION])
    def test_refuses_every_other_status(self, live_payout: Payout, status: PayoutStatus) -> None:
        database.put_into(live_payout, status)

        with (
            pytest.raises(errors.PayoutNotInAttention, match=f"This payout is {status.label.lower()}"),
            transaction.atomic(),
        ):
            operators.resolve_payout(live_payout, target=PayoutStatus.PAID, **ADA)

        live_payout.refresh_from_db()
        assert (live_payout.status, live_payout.attempts_count) == (status, 0)

    @pytest.mark.parametrize("target", [PayoutStatus.PENDING, PayoutStatus.CANCELED, PayoutStatus.RETURNED])
    def test_knows_two_ends(self, stuck_payout: Payout, target: PayoutStatus) -> None:
        with pytest.raises(KeyError), transaction.atomic():
            operators.resolve_payout(stuck_payout, target=target, **ADA)

        stuck_payout.refresh_from_db()
        assert stuck_payout.status == "requires_attention"

    def test_is_not_overruled_by_what_comes_late(self, provider: FakeProvider, stuck_payout: Payout) -> None:
        operators.resolve_payout(stuck_payout, target=PayoutStatus.FAILED, **ADA)

        callback = telling.tell(stuck_payout.pk, "paid")

        stuck_payout.refresh_from_db()
        assert (callback.result, stuck_payout.status) == ("contradicted", "failed")
        assert stuck_payout.contradicted_at is not None


class TestAsk:
    @pytest.fixture
    def paid_payout(self, live_payout: Payout) -> Payout:
        """Its time to come back is over: nobody asks about it any more."""
        return process_again(live_payout)

    def test_has_the_provider_asked_with_the_reason_on_record(
        self, provider: FakeProvider, stuck_payout: Payout
    ) -> None:
        provider.on_ask(fake_provider.PAID)

        asked = operators.ask_about_payout(stuck_payout, actor="operator:ada", reason=" the bank called ")
        assert (asked.status, asked.version, asked.rung_at) == (
            "requires_attention",
            stuck_payout.version,
            None,
        )
        processing.process(asked.pk)

        assert database.statuses(asked)[-1] == "paid"
        assert database.attempts(asked)[2:] == [(3, "operator", "asked", ""), (4, "ask", "paid", "")]
        attempt = asked.attempts.get(kind="operator")
        assert (attempt.actor, attempt.message) == ("operator:ada", "the bank called")

    @pytest.mark.parametrize("answer", [fake_provider.UNKNOWN, fake_provider.NOT_FOUND, fake_provider.ACCEPTED])
    def test_changes_nothing_where_the_provider_does_not_say(
        self, provider: FakeProvider, stuck_payout: Payout, answer: Answer
    ) -> None:
        provider.on_ask(answer)
        operators.ask_about_payout(stuck_payout, **ADA)

        processing.process(stuck_payout.pk)

        stuck_payout.refresh_from_db()
        assert (stuck_payout.status, stuck_payout.due_at, stuck_payout.lease_token) == (
            "requires_attention",
            None,
            None,
        )
        # And never sends it.
        assert provider.kinds == ["send", "ask", "ask"]

    def test_asks_about_what_was_paid_long_ago(self, provider: FakeProvider, paid_payout: Payout) -> None:
        provider.on_ask(fake_provider.RETURNED)
        assert paid_payout.due_at is None
        operators.ask_about_payout(paid_payout, **ADA)

        processing.process(paid_payout.pk)

        assert database.statuses(paid_payout)[-1] == "returned"

    @pytest.mark.parametrize(
        "status",
        [
            PayoutStatus.PENDING,
            PayoutStatus.PROCESSING,
            PayoutStatus.FAILED,
            PayoutStatus.CANCELED,
            PayoutStatus.RETURNED,
        ],
    )
    def test_refuses_what_the_provider_need_not_be_asked(self, live_payout: Payout, status: PayoutStatus) -> None:
        database.put_into(live_payout, status)

        with (
            pytest.raises(errors.PayoutNotAskable, match=f"This payout is {status.label.lower()}"),
            transaction.atomic(),
        ):
            operators.ask_about_payout(live_payout, **ADA)

        live_payout.refresh_from_db()
        assert live_payout.attempts_count == 0

    def test_refuses_while_it_is_being_asked(self, provider: FakeProvider, stuck_payout: Payout) -> None:
        refused: list[Exception] = []

        def ask(instruction: base.Instruction) -> base.Report:
            try:
                with transaction.atomic():
                    operators.ask_about_payout(stuck_payout, **ADA)
            except errors.PayoutNotAskable as error:
                refused.append(error)
            return fake_provider.PAID

        provider.on_ask(ask)
        operators.ask_about_payout(stuck_payout, **ADA)

        processing.process(stuck_payout.pk)

        assert len(refused) == 1
        assert database.statuses(stuck_payout)[-1] == "paid"

    @pytest.mark.parametrize(("reason", "refusal"), UNUSABLE_REASONS)
    def test_needs_a_reason(self, stuck_payout: Payout, reason: str, refusal: type[Exception]) -> None:
        with pytest.raises(refusal), transaction.atomic():
            operators.ask_about_payout(stuck_payout, actor="operator:ada", reason=reason)

        stuck_payout.refresh_from_db()
        assert (stuck_payout.due_at, stuck_payout.attempts_count) == (None, 2)


class TestAcknowledge:
    def test_clears_the_flag_and_nothing_else(self, contradicted_payout: Payout) -> None:
        acknowledged = operators.acknowledge_contradiction(
            contradicted_payout, actor="operator:ada", reason=" the bank erred "
        )

        assert (acknowledged.contradicted_at, acknowledged.status) == (None, "failed")
        assert acknowledged.version == contradicted_payout.version
        assert database.statuses(acknowledged) == ["pending", "processing", "failed"]
        attempt = acknowledged.attempts.get(kind="operator")
        assert (attempt.outcome, attempt.actor, attempt.message) == ("acknowledged", "operator:ada", "the bank erred")

    def test_works_for_a_deleted_one(self, contradicted_payout: Payout) -> None:
        """Or its alarm could never end."""
        services.delete_payout(contradicted_payout, actor="merchant:x")

        assert operators.acknowledge_contradiction(contradicted_payout, **ADA).contradicted_at is None

    def test_refuses_where_nothing_is_contradicted(self, refused_payout: Payout) -> None:
        with pytest.raises(errors.PayoutNotContradicted), transaction.atomic():
            operators.acknowledge_contradiction(refused_payout, **ADA)

        assert not refused_payout.attempts.filter(kind="operator").exists()

    @pytest.mark.parametrize(("reason", "refusal"), UNUSABLE_REASONS)
    def test_needs_a_reason(self, contradicted_payout: Payout, reason: str, refusal: type[Exception]) -> None:
        with pytest.raises(refusal), transaction.atomic():
            operators.acknowledge_contradiction(contradicted_payout, actor="operator:ada", reason=reason)

        contradicted_payout.refresh_from_db()
        assert contradicted_payout.contradicted_at is not None

    def test_alarms_again_when_it_is_told_again(self, contradicted_payout: Payout) -> None:
        operators.acknowledge_contradiction(contradicted_payout, **ADA)

        telling.tell(contradicted_payout.pk, "returned")

        contradicted_payout.refresh_from_db()
        assert contradicted_payout.contradicted_at is not None


@pytest.mark.django_db(transaction=True)
class TestRinging:
    @pytest.mark.parametrize("act", ["retry", "ask"])
    def test_rings_once_when_it_is_committed(self, doorbell: Doorbell, stuck_payout: Payout, act: str) -> None:
        doorbell.silence()
        acts: dict[str, Callable[..., Payout]] = {"retry": operators.retry_payout, "ask": operators.ask_about_payout}

        with transaction.atomic():
            acts[act](stuck_payout, **ADA)
            assert doorbell.rung() == 0

        assert doorbell.rung() == 1

    def test_rings_for_no_refusal(self, doorbell: Doorbell, live_payout: Payout) -> None:
        doorbell.silence()

        with pytest.raises(errors.PayoutNotRetryable):
            operators.retry_payout(live_payout, **ADA)

        assert doorbell.rung() == 0


@pytest.mark.django_db(transaction=True)
class TestRaces:
    def test_one_of_many_operators_retries(self, provider: FakeProvider, refused_payout: Payout) -> None:
        results = racing.run_together(*[lambda: operators.retry_payout(refused_payout, **ADA)] * 8)

        assert sum(isinstance(result, Payout) for result in results) == 1
        assert sum(isinstance(result, errors.PayoutNotRetryable) for result in results) == 7
        refused_payout.refresh_from_db()
        assert (refused_payout.reference_number, refused_payout.attempts_count) == (2, 2)

    def test_of_two_operators_who_disagree_one_decides(self, stuck_payout: Payout) -> None:
        targets = (PayoutStatus.PAID, PayoutStatus.FAILED)

        results = racing.run_together(
            *[lambda target=target: operators.resolve_payout(stuck_payout, target=target, **ADA) for target in targets]
        )

        stuck_payout.refresh_from_db()
        assert sorted(type(result).__name__ for result in results) == ["Payout", "PayoutNotInAttention"]
        (won,) = [target for target, result in zip(targets, results, strict=True) if isinstance(result, Payout)]
        assert stuck_payout.status == won

    def test_a_retry_and_late_evidence(self, provider: FakeProvider, make_live_payout: MakePayout) -> None:
        """Whichever comes first, what has been paid is not sent once more."""
        provider.promise(fails_as_a_whole=False)
        provider.on_send(fake_provider.UNKNOWN)
        provider.on_ask(fake_provider.UNKNOWN)
        for _ in range(10):
            payout = make_live_payout()
            process_again(payout)
            Payout.objects.filter(pk=payout.pk).update(status="requires_attention", due_at=None)
            calls = len(provider.calls)

            retried, told = racing.run_together(
                partial(operators.retry_payout, payout, **ADA), partial(telling.tell, payout.pk, "paid")
            )

            assert isinstance(retried, Payout | errors.PayoutNotRetryable)
            assert told.result == "applied"
            process_again(payout)
            assert (payout.status, payout.contradicted_at, payout.reference_number) == ("paid", None, 1)
            # It is asked about, as any payment is.
            assert "send" not in provider.kinds[calls:]

    def test_a_retry_of_a_refused_one_and_word_that_it_was_paid(
        self, provider: FakeProvider, make_live_payout: MakePayout
    ) -> None:
        """Failed as it was, or pending under the next reference: either way it is flagged, and not sent."""
        for _ in range(10):
            provider.on_send(fake_provider.REJECTED)
            payout = process_again(make_live_payout())
            provider.on_send(fake_provider.PAID)
            calls = len(provider.calls)

            retried, told = racing.run_together(
                partial(operators.retry_payout, payout, **ADA), partial(telling.tell, payout.pk, "paid")
            )

            assert isinstance(retried, Payout | errors.PayoutContradicted)
            assert told.result == "contradicted"
            process_again(payout)
            assert payout.status == ("pending" if isinstance(retried, Payout) else "failed")
            assert payout.contradicted_at is not None
            assert len(provider.calls) == calls
