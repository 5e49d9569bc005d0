"""An operator has the provider asked, or has seen a contradiction."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import transaction
from django.db.models.functions import Now

from payouts import errors, operators, services
from payouts.engine import processing
from payouts.models import Payout
from payouts.providers import base
from payouts.states import PayoutStatus
from tests.support import database, fake_provider, telling
from tests.support.fake_provider import Answer, FakeProvider
from tests.support.operating import ADA, UNUSABLE_REASONS, process_again

pytestmark = pytest.mark.django_db


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
        assert (asked.status, asked.version) == ("requires_attention", stuck_payout.version)
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
        assert (stuck_payout.status, stuck_payout.lease_token) == ("requires_attention", None)
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

        due_at = stuck_payout.due_at
        stuck_payout.refresh_from_db()
        assert (stuck_payout.due_at, stuck_payout.attempts_count) == (due_at, 2)


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


class TestAskAboutAll:
    def test_has_all_asked_that_have_no_outcome(
        self, provider: FakeProvider, make_live_payout: Callable[..., Payout], make_payout: Callable[..., Payout]
    ) -> None:
        for status in PayoutStatus:
            database.put_into(make_live_payout(), status)
        Payout.objects.update(due_at=None)
        in_hand = database.put_into(make_payout(), PayoutStatus.UNKNOWN)
        Payout.objects.filter(pk=in_hand.pk).update(
            lease_token=uuid.uuid4(), lease_expires_at=Now() + timedelta(seconds=60)
        )

        assert operators.ask_about_all(**ADA) == (2, 1)

        asked = Payout.objects.due().exclude(pk=in_hand.pk)
        assert set(asked.values_list("status", flat=True)) == {"unknown", "requires_attention"}
        assert {tuple(database.attempts(payout)) for payout in asked} == {((1, "operator", "asked", ""),)}
