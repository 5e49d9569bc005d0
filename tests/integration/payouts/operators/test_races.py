"""Operators at the same time, and what is rung for when one has acted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from django.db import transaction

from payouts import errors, operators
from payouts.models import Payout
from payouts.states import PayoutStatus
from tests.support import fake_provider, racing, telling
from tests.support.doorbell import Doorbell
from tests.support.fake_provider import FakeProvider
from tests.support.operating import ADA, process_again

pytestmark = pytest.mark.django_db


MakePayout = Callable[..., Payout]


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
