"""Callbacks of what was never sent, with the same evidence again, and of what is unknown here."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import ClassVar

import pytest
from django.db import transaction

from payouts import errors, operators
from payouts.engine import backlog, inbox, processing
from payouts.models import Payout, ProviderCallback
from payouts.providers import base
from payouts.states import PayoutStatus
from tests.support import database, fake_provider, telling
from tests.support.fake_provider import FakeProvider

MakePayout = Callable[..., Payout]

APPLIED, KNOWN, CONTRADICTED = "applied", "known", "contradicted"


@pytest.mark.django_db
class TestNeverSent:
    """The provider knows of a payout that we have no record of sending."""

    @pytest.mark.parametrize(("kind", "status"), [("paid", "paid"), ("rejected", "failed"), ("returned", "returned")])
    def test_ends_it_and_calls_an_operator(
        self, provider: FakeProvider, live_payout: Payout, kind: str, status: str
    ) -> None:
        callback = telling.tell(live_payout.pk, kind)

        live_payout.refresh_from_db()
        assert (callback.result, live_payout.status) == (APPLIED, status)
        assert live_payout.contradicted_at is not None
        assert live_payout.first_sent_at is not None
        processing.process(live_payout.pk)
        assert "send" not in provider.kinds

    def test_calls_nobody_about_a_send_that_did_not_seem_to_get_through(
        self, provider: FakeProvider, live_payout: Payout
    ) -> None:
        provider.on_send(fake_provider.UNAVAILABLE)
        processing.process(live_payout.pk)

        telling.tell(live_payout.pk, "paid")

        live_payout.refresh_from_db()
        assert (live_payout.status, live_payout.contradicted_at) == ("paid", None)

    def test_is_the_operators_to_acknowledge(self, live_payout: Payout) -> None:
        telling.tell(live_payout.pk, "paid")

        operators.acknowledge_contradiction(live_payout, actor="operator:ada", reason="the backup was an hour old")
        telling.tell(live_payout.pk, "paid")

        live_payout.refresh_from_db()
        assert (live_payout.status, live_payout.contradicted_at) == ("paid", None)


@pytest.mark.django_db
class TestSameEvidence:
    """What an operator has looked at alarms once."""

    BY: ClassVar[dict[str, str]] = {"actor": "operator:ada", "reason": "line 7 of the statement"}

    @pytest.fixture
    def acknowledged_payout(self, provider: FakeProvider, live_payout: Payout) -> Payout:
        """Refused by its provider, then called paid by it, which an operator has looked at."""
        provider.on_send(fake_provider.REJECTED)
        processing.process(live_payout.pk)
        telling.tell(live_payout.pk, "paid")
        return operators.acknowledge_contradiction(live_payout, **self.BY)

    @pytest.mark.parametrize("words", [{}, {"message": "Paid yesterday.", "provider_reference": "fake-9"}])
    def test_flags_nothing_again(self, acknowledged_payout: Payout, words: dict[str, str]) -> None:
        callback = telling.tell(acknowledged_payout.pk, "paid", **words)

        acknowledged_payout.refresh_from_db()
        assert (callback.result, acknowledged_payout.contradicted_at) == (KNOWN, None)

    @pytest.mark.parametrize(
        ("kind", "words"), [("returned", {}), ("paid", {"code": "late"}), ("paid", {"amount": "11.00"})]
    )
    def test_is_not_other_evidence(self, acknowledged_payout: Payout, kind: str, words: dict[str, str]) -> None:
        callback = telling.tell(acknowledged_payout.pk, kind, **words)

        acknowledged_payout.refresh_from_db()
        assert callback.result == CONTRADICTED
        assert acknowledged_payout.contradicted_at is not None

    def test_of_another_amount_is_that_amount(self, provider: FakeProvider, live_payout: Payout) -> None:
        telling.tell(live_payout.pk, "paid", amount="11.00")
        operators.acknowledge_contradiction(live_payout, **self.BY)

        results = [telling.tell(live_payout.pk, "paid", amount=amount).result for amount in ("11.00", "12.00")]

        assert results == [KNOWN, CONTRADICTED]

    def test_is_the_same_in_an_answer(self, provider: FakeProvider, live_payout: Payout) -> None:
        provider.promise(return_window_seconds=3600.0)
        processing.process(live_payout.pk)
        telling.tell(live_payout.pk, "rejected", code="closed")
        operators.acknowledge_contradiction(live_payout, **self.BY)
        provider.on_ask(base.Report(base.ReportKind.REJECTED, code="closed"))
        database.make_due(live_payout)

        processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert provider.kinds == ["send", "ask"]
        assert (live_payout.status, live_payout.contradicted_at) == ("paid", None)

    def test_of_one_send_is_weaker_than_of_the_reference(self, provider: FakeProvider, live_payout: Payout) -> None:
        """One send was refused, and an operator found the money of the other."""
        provider.on_send(fake_provider.UNKNOWN, base.Rejected("closed"))
        provider.on_ask(fake_provider.NOT_FOUND)
        processing.process(live_payout.pk)
        database.make_due(live_payout)
        processing.process(live_payout.pk)
        operators.resolve_payout(live_payout, target=PayoutStatus.PAID, evidence="line 7", **self.BY)

        callback = telling.tell(live_payout.pk, "rejected", code="closed")

        assert callback.result == CONTRADICTED


@pytest.mark.django_db
class TestAlarm:
    """Money that no payout explains waits for an operator."""

    @pytest.mark.parametrize(
        ("kind", "is_alarming"),
        [("paid", True), ("accepted", True), ("returned", True), ("rejected", False), ("not_found", False)],
    )
    def test_is_raised_for_money_on_an_unknown_reference(
        self, provider: FakeProvider, kind: str, *, is_alarming: bool
    ) -> None:
        callback = telling.tell(uuid.uuid4(), kind)

        assert callback.result == "no_payout"
        assert (callback.alarmed_at is not None) is is_alarming
        assert backlog.alarms()["callbacks_unexplained"] == int(is_alarming)

    def test_is_raised_for_what_cannot_be_read(self, provider: FakeProvider) -> None:
        callback_id = inbox.store("fake", headers=fake_provider.callback_headers("e-1"), body=b"?")
        assert callback_id is not None

        inbox.apply(callback_id)

        assert ProviderCallback.objects.get().alarmed_at is not None

    def test_is_not_raised_for_a_payout_of_ours(self, live_payout: Payout) -> None:
        assert telling.tell(live_payout.pk, "paid").alarmed_at is None

    def test_lasts_until_an_operator_clears_it_with_a_reason(self, provider: FakeProvider) -> None:
        callback = telling.tell("order-7", "paid")

        with pytest.raises(errors.ReasonMissing), transaction.atomic():
            operators.clear_callback(callback, actor="operator:ada", reason=" ")
        cleared = operators.clear_callback(callback, actor="operator:ada", reason=" of another system ")

        assert (cleared.alarmed_at, cleared.cleared_by, cleared.cleared_reason) == (
            None,
            "operator:ada",
            "of another system",
        )
        assert cleared.cleared_at is not None
        assert backlog.alarms()["callbacks_unexplained"] == 0
        with pytest.raises(errors.CallbackNotAlarming), transaction.atomic():
            operators.clear_callback(callback, actor="operator:bob", reason="once more")
