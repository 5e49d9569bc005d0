"""Callbacks of earlier references, in any order, during a call and at the same time."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from payouts import errors, operators
from payouts.engine import claims, evidence, inbox, leases, outcomes, processing
from payouts.models import Payout, ProviderCallback
from payouts.providers import base
from payouts.states import PayoutStatus
from tests.support import database, fake_provider, racing, telling
from tests.support.fake_provider import Answer, FakeProvider

MakePayout = Callable[..., Payout]

APPLIED, KNOWN, CONTRADICTED = "applied", "known", "contradicted"


@pytest.mark.django_db
class TestReferences:
    """Refused under its first reference, a payout that an operator retried has a second."""

    @pytest.fixture
    def retried_payout(self, provider: FakeProvider, live_payout: Payout) -> Payout:
        provider.on_send(fake_provider.REJECTED, fake_provider.PAID)
        processing.process(live_payout.pk)
        return operators.retry_payout(live_payout, actor="operator:ada", reason="the account is open again")

    def test_the_present_one_moves_it(self, retried_payout: Payout) -> None:
        callback = telling.tell(f"{retried_payout.pk}-2", "accepted")

        assert callback.result == APPLIED
        assert database.statuses(retried_payout)[-2:] == ["processing", "submitted"]
        assert retried_payout.attempts.get(kind="callback").reference_number == 2

    def test_a_refusal_of_the_first_is_no_news(self, retried_payout: Payout) -> None:
        callback = telling.tell(retried_payout.pk, "rejected")

        retried_payout.refresh_from_db()
        assert (callback.result, retried_payout.status) == (KNOWN, "pending")
        assert retried_payout.contradicted_at is None
        assert retried_payout.attempts.get(kind="callback").reference_number == 1

    @pytest.mark.parametrize("kind", ["paid", "accepted", "returned"])
    def test_anything_else_of_the_first_contradicts(
        self, provider: FakeProvider, retried_payout: Payout, kind: str
    ) -> None:
        callback = telling.tell(retried_payout.pk, kind)

        retried_payout.refresh_from_db()
        assert (callback.result, retried_payout.status) == (CONTRADICTED, "pending")
        # What may have moved money under the first is not sent under the second.
        processing.process(retried_payout.pk)
        assert provider.kinds == ["send"]

    def test_is_settled_by_an_operator_and_never_sent(self, provider: FakeProvider, retried_payout: Payout) -> None:
        telling.tell(retried_payout.pk, "paid")
        by = {"actor": "operator:ada", "reason": "line 7 of the statement"}
        with pytest.raises(errors.PayoutShownPaid), transaction.atomic():
            operators.acknowledge_contradiction(retried_payout, **by)

        operators.resolve_payout(retried_payout, target=PayoutStatus.PAID, **by)

        processing.process(retried_payout.pk)
        retried_payout.refresh_from_db()
        assert (retried_payout.status, retried_payout.contradicted_at, retried_payout.due_at) == ("paid", None, None)
        assert database.statuses(retried_payout)[-3:] == ["pending", "processing", "paid"]
        assert [call.instruction.reference for call in provider.calls] == [str(retried_payout.pk)]

    def test_accepted_after_the_refusal_of_the_same_is_out_of_date(
        self, provider: FakeProvider, live_payout: Payout
    ) -> None:
        """It was accepted, and then not executed, and the two came in the wrong order."""
        provider.on_send(fake_provider.UNKNOWN)
        processing.process(live_payout.pk)
        telling.tell(live_payout.pk, "rejected")
        retried = operators.retry_payout(live_payout, actor="operator:ada", reason="try again")
        assert retried.reference_number == 2

        callback = telling.tell(live_payout.pk, "accepted")

        live_payout.refresh_from_db()
        assert (callback.result, live_payout.contradicted_at) == (KNOWN, None)


def evidence_of(answer: Answer) -> evidence.Evidence:
    instruction: Any = base.Instruction("r", None, "EUR", {}, 1, 0.0)  # type: ignore[arg-type]

    def call(_: base.Instruction) -> base.Report:
        if isinstance(answer, base.Report):
            return answer
        assert isinstance(answer, BaseException)
        raise answer

    return evidence.call_provider(call, instruction)


#: What the provider tells, what the worker that sent it was answered, and where that leads in whatever order.
STORIES: dict[str, tuple[tuple[str, ...], Answer, str]] = {
    "paid": (("accepted", "paid", "paid"), fake_provider.PAID, "paid"),
    "paid, the answer lost": (("accepted", "paid", "paid"), fake_provider.UNKNOWN, "paid"),
    "paid, not sent as it seemed": (("accepted", "paid"), fake_provider.UNAVAILABLE, "paid"),
    "paid, accepted first": (("paid",), fake_provider.ACCEPTED, "paid"),
    "returned": (("accepted", "paid", "returned", "paid"), fake_provider.PAID, "returned"),
    "returned, the answer lost": (("accepted", "returned", "paid", "returned"), fake_provider.UNKNOWN, "returned"),
    "returned, which is all that was told": (("returned",), fake_provider.ACCEPTED, "returned"),
    "not executed": (("accepted", "rejected", "rejected"), fake_provider.ACCEPTED, "failed"),
    "not executed, the answer lost": (("accepted", "rejected"), fake_provider.UNKNOWN, "failed"),
    "accepted": (("accepted", "accepted"), fake_provider.UNKNOWN, "submitted"),
}


@pytest.mark.django_db
class TestOrder:
    """Callbacks, the worker's own answer and the end of its lease come in any order, and the payout ends the same."""

    @pytest.mark.parametrize("story", list(STORIES))
    def test_makes_no_difference(self, make_live_payout: MakePayout, story: str) -> None:
        told, answer, end = STORIES[story]

        @hypothesis_settings(
            max_examples=12,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.function_scoped_fixture],
        )
        @given(st.permutations([*told, "settle", "expire"]))
        def check(happens: list[str]) -> None:
            payout = make_live_payout()
            claim = claims.claim_one(payout)
            assert claim is not None
            for event in happens:
                if event == "settle":
                    outcomes.record(claim, evidence_of(answer))
                elif event == "expire":
                    database.expire_lease(payout)
                    leases.expire(at_most=1, only=payout.pk)
                else:
                    telling.tell(payout.pk, event)

            payout.refresh_from_db()
            assert (payout.status, payout.contradicted_at) == (end, None)
            assert (payout.lease_token, payout.lease_expires_at) == (None, None)
            steps = [(source, target) for source, target, *_ in database.history(payout)]
            assert steps == list(itertools.pairwise(["", *database.statuses(payout)]))
            assert database.statuses(payout).count(end) == 1
            assert payout.attempts.filter(kind="callback").count() == len(told)
            assert payout.attempts.get(kind="send").finished_at is not None
            # What is not at its end is asked about.
            assert (payout.due_at is not None) is (end == "submitted")

        check()

    def test_contradictions_are_flagged_in_either_order(self, make_live_payout: MakePayout) -> None:
        for told, end in ((("rejected", "paid"), "failed"), (("paid", "rejected"), "paid")):
            payout = make_live_payout()

            results = [telling.tell(payout.pk, kind).result for kind in told]

            payout.refresh_from_db()
            assert results == [APPLIED, CONTRADICTED]
            assert payout.status == end
            assert payout.contradicted_at is not None


@pytest.mark.django_db
class TestDuringACall:
    def test_it_settles_and_the_answer_is_no_news(self, provider: FakeProvider, live_payout: Payout) -> None:
        def send(instruction: base.Instruction) -> base.Report:
            telling.tell(instruction.reference, "paid")
            return fake_provider.PAID

        provider.on_send(send)

        processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert database.statuses(live_payout) == ["pending", "processing", "paid"]
        assert (live_payout.lease_token, live_payout.contradicted_at) == (None, None)
        assert database.attempts(live_payout) == [(1, "send", "paid", ""), (2, "callback", "paid", "")]

    def test_a_refusal_after_it_contradicts(self, provider: FakeProvider, live_payout: Payout) -> None:
        def send(instruction: base.Instruction) -> base.Report:
            telling.tell(instruction.reference, "paid")
            raise fake_provider.REJECTED

        provider.on_send(send)

        processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert (live_payout.status, live_payout.failure_code) == ("paid", "")
        assert live_payout.contradicted_at is not None

    def test_a_refusal_of_what_it_has_accepted_is_asked_about(
        self, provider: FakeProvider, live_payout: Payout
    ) -> None:
        """Only one of the two can be true, so it has neither failed nor been paid until it says which."""

        def send(instruction: base.Instruction) -> base.Report:
            telling.tell(instruction.reference, "accepted")
            raise fake_provider.REJECTED

        provider.on_send(send)

        processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert (live_payout.status, live_payout.failure_code) == ("submitted", "")
        assert live_payout.due_at is not None

    def test_it_stops_a_second_send(self, provider: FakeProvider, live_payout: Payout) -> None:
        """The provider is asked, and before it answers that it knows nothing it tells us that it paid."""
        provider.on_send(fake_provider.UNKNOWN, fake_provider.PAID)

        def ask(instruction: base.Instruction) -> base.Report:
            telling.tell(instruction.reference, "not_found")
            return fake_provider.NOT_FOUND

        provider.on_ask(ask)
        processing.process(live_payout.pk)
        database.make_due(live_payout)

        processing.process(live_payout.pk)

        # Whatever it told: what was read before it is out of date.
        live_payout.refresh_from_db()
        assert provider.kinds == ["send", "ask"]
        assert live_payout.status == "unknown"
        assert live_payout.due_at is not None

    def test_what_contradicts_an_unknown_payout_stops_it_from_being_sent_again(
        self, provider: FakeProvider, live_payout: Payout
    ) -> None:
        provider.on_send(fake_provider.UNKNOWN, fake_provider.PAID)
        provider.on_ask(fake_provider.NOT_FOUND)
        processing.process(live_payout.pk)
        telling.tell(live_payout.pk, "paid", amount="11.00")
        database.make_due(live_payout)

        processing.process(live_payout.pk)

        assert provider.kinds == ["send", "ask"]


@pytest.mark.django_db(transaction=True)
class TestRaces:
    def test_one_event_told_many_times_at_once(self, live_payout: Payout) -> None:
        def tell() -> None:
            callback_id = telling.store(live_payout.pk, "accepted", event_id="e-1")
            if callback_id is not None:
                inbox.apply(callback_id)

        results = racing.run_together(*[tell] * 8)

        assert results == [None] * 8
        assert ProviderCallback.objects.get().result == APPLIED
        assert database.statuses(live_payout) == ["pending", "processing", "submitted"]
        assert database.attempts(live_payout) == [(1, "callback", "accepted", "")]

    def test_several_events_of_one_payout_at_once(self, make_live_payout: MakePayout) -> None:
        for _ in range(5):
            payout = make_live_payout()
            told = ("accepted", "paid", "returned", "paid")
            ids = [telling.store(payout.pk, kind) for kind in told]

            results = racing.run_together(*[partial(inbox.apply, callback_id) for callback_id in ids if callback_id])

            payout.refresh_from_db()
            assert results == [True] * 4
            assert (payout.status, payout.attempts_count) == ("returned", 4)
            assert [number for number, *_ in database.attempts(payout)] == [1, 2, 3, 4]

    def test_a_callback_and_the_answer_at_once(self, provider: FakeProvider, make_live_payout: MakePayout) -> None:
        """One settles it, for the other one it is known; and never deadlock, whichever locks first."""
        provider.on_send(replace(fake_provider.PAID, is_final=True))
        for _ in range(10):
            payout = make_live_payout()
            claim = claims.claim_one(payout)
            assert claim is not None
            callback_id = telling.store(payout.pk, "paid")
            assert callback_id is not None

            results = racing.run_together(
                partial(outcomes.record, claim, evidence_of(fake_provider.PAID)),
                partial(inbox.apply, callback_id),
                partial(leases.expire, at_most=1, only=payout.pk),
            )

            payout.refresh_from_db()
            assert results == [None, True, False]
            assert (payout.contradicted_at, payout.lease_token) == (None, None)
            assert database.statuses(payout) == ["pending", "processing", "paid"]
            assert database.attempts(payout) == [(1, "send", "paid", ""), (2, "callback", "paid", "")]
