"""Another bank in the place of the one that was sent to. The invariant: no bank is called for what another may have
paid.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from payouts import operators
from payouts.engine import banks, processing
from payouts.models import Payout, PayoutAttempt
from payouts.states import PayoutStatus
from tests.support import database, fake_provider
from tests.support.fake_provider import FakeProvider
from tests.support.once_bank import OnceBank

pytestmark = pytest.mark.django_db

SAID = (
    "The payout may have been sent to the bank old-bank, which alone can say what became of it. "
    "The bank now is new-bank."
)
REASON = f"provider: not_sent, other_bank: {SAID}"
BY = {"actor": "operator:ada", "reason": "line 7 of the statement of the old bank"}


@pytest.fixture
def old_bank(provider: FakeProvider) -> OnceBank:
    bank = OnceBank("old")
    provider.identity = "old-bank"
    provider.on_send(bank.send_and_lose_the_answer)
    provider.on_ask(bank.ask)
    return bank


@pytest.fixture
def sent_payout(provider: FakeProvider, old_bank: OnceBank, live_payout: Payout) -> Payout:
    """The old bank executed it, and its answer got lost."""
    processing.process(live_payout.pk)
    live_payout.refresh_from_db()
    assert (live_payout.status, list(old_bank.executions.values())) == ("unknown", [1])
    return live_payout


def move_to_new_bank(provider: FakeProvider) -> OnceBank:
    bank = OnceBank("new")
    provider.identity = "new-bank"
    provider.on_send(bank.send)
    provider.on_ask(bank.ask)
    return bank


def process_when_due(payout: Payout) -> Payout:
    database.make_due(payout)
    processing.process(payout.pk)
    return Payout.objects.get(pk=payout.pk)


class TestAttempt:
    def test_records_the_bank(self, provider: FakeProvider, sent_payout: Payout) -> None:
        process_when_due(sent_payout)

        recorded = PayoutAttempt.objects.order_by("number").values_list("kind", "bank")
        assert list(recorded) == [("send", "old-bank"), ("ask", "old-bank")]


class TestAnotherBank:
    def test_is_neither_asked_nor_sent_to(self, provider: FakeProvider, sent_payout: Payout) -> None:
        new_bank = move_to_new_bank(provider)

        payout = process_when_due(sent_payout)

        assert (payout.status, payout.due_at, payout.lease_token) == ("requires_attention", None, None)
        assert database.history(payout)[-1] == ("unknown", "requires_attention", "worker", REASON)
        assert database.attempts(payout)[-1] == (2, "ask", "not_sent", "other_bank")
        assert provider.kinds == ["send"]
        assert new_bank.executions == {}

    def test_is_not_sent_to_after_a_retry(self, provider: FakeProvider, sent_payout: Payout) -> None:
        """An operator overlooked which bank it was."""
        new_bank = move_to_new_bank(provider)
        payout = process_when_due(sent_payout)
        operators.retry_payout(payout, **BY)

        processing.process(payout.pk)

        assert database.statuses(payout)[-4:] == ["pending", "processing", "unknown", "requires_attention"]
        assert database.history(payout)[-1][3] == REASON
        assert provider.kinds == ["send"]
        assert new_bank.executions == {}

    def test_pays_under_a_new_reference_what_an_operator_found_unpaid(
        self, provider: FakeProvider, sent_payout: Payout
    ) -> None:
        new_bank = move_to_new_bank(provider)
        payout = process_when_due(sent_payout)
        failed = operators.resolve_payout(payout, target=PayoutStatus.FAILED, **BY)

        retried = operators.retry_payout(failed, **BY)
        processing.process(retried.pk)

        retried.refresh_from_db()
        assert (retried.status, retried.reference_number) == ("paid", 2)
        assert new_bank.executions == {f"{payout.provider_key}-2": 1}

    def test_gets_what_no_bank_has_got(self, provider: FakeProvider, live_payout: Payout) -> None:
        provider.identity = "old-bank"
        provider.on_send(fake_provider.UNAVAILABLE)
        processing.process(live_payout.pk)
        new_bank = move_to_new_bank(provider)

        payout = process_when_due(live_payout)

        assert payout.status == "paid"
        assert new_bank.executions == {payout.provider_key: 1}

    def test_is_not_asked_about_an_accepted_payout(
        self, provider: FakeProvider, old_bank: OnceBank, live_payout: Payout
    ) -> None:
        provider.on_send(fake_provider.ACCEPTED)
        processing.process(live_payout.pk)
        move_to_new_bank(provider)

        payout = process_when_due(live_payout)

        assert (payout.status, provider.kinds) == ("requires_attention", ["send"])

    def test_is_not_asked_about_a_paid_payout(
        self, provider: FakeProvider, old_bank: OnceBank, live_payout: Payout
    ) -> None:
        provider.promise(return_window_seconds=3600.0)
        provider.on_send(fake_provider.PAID)
        processing.process(live_payout.pk)
        move_to_new_bank(provider)

        payout = process_when_due(live_payout)

        # It may come back to the old bank, which may become the present one again.
        assert (payout.status, payout.contradicted_at, provider.kinds) == ("paid", None, ["send"])
        assert payout.due_at is not None

    def test_that_gave_way_to_the_old_one_again_is_asked(self, provider: FakeProvider, sent_payout: Payout) -> None:
        move_to_new_bank(provider)
        provider.identity = "old-bank"
        provider.on_ask(fake_provider.PAID)

        assert process_when_due(sent_payout).status == "paid"


class TestSentElsewhere:
    def test_looks_at_many_in_one_query(
        self,
        provider: FakeProvider,
        old_bank: OnceBank,
        make_live_payout: Callable[..., Payout],
        django_assert_num_queries: Callable[[int], object],
    ) -> None:
        sent, new = make_live_payout(), make_live_payout()
        processing.process(sent.pk)
        provider.identity = "new-bank"

        with django_assert_num_queries(1):  # type: ignore[attr-defined]
            assert banks.sent_elsewhere([sent, new]) == {sent.pk: "old-bank"}

    def test_takes_a_send_of_the_version_before_for_one_to_the_present_bank(
        self, provider: FakeProvider, live_payout: Payout
    ) -> None:
        live_payout.attempts.create(number=1, kind="send", outcome="unknown")

        assert banks.sent_elsewhere([live_payout]) == {}
