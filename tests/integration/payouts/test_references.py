"""The reference under which a provider knows a payout, also after the database has lost the payout."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import partial

import pytest
from django.db import transaction

from accounts import services as accounts_services
from accounts.models import Merchant, MerchantAPIKey, Mode
from payouts import operators
from payouts.engine import processing
from payouts.models import Payout, references
from tests.support import database, fake_provider, telling
from tests.support.fake_provider import FakeProvider
from tests.support.once_bank import OnceBank

pytestmark = pytest.mark.django_db

MakePayout = Callable[..., Payout]


@contextmanager
def lost() -> Iterator[None]:
    """Lose every write of the block, as a failover to an asynchronous standby does."""
    before = transaction.savepoint()
    yield
    transaction.savepoint_rollback(before)


@pytest.fixture
def bank(provider: FakeProvider) -> OnceBank:
    bank = OnceBank()
    provider.on_send(bank.send)
    provider.on_ask(bank.ask)
    return bank


def only_reference(provider: FakeProvider) -> str:
    (reference,) = {call.instruction.reference for call in provider.calls}
    return reference


class TestReference:
    def test_is_derived_from_the_key(self, acme: Merchant, make_live_payout: MakePayout) -> None:
        payout = make_live_payout(idempotency_key="k-1")

        payout.refresh_from_db()
        assert payout.own_reference == references.derive(acme.pk, "live", "k-1")
        assert payout.provider_key == str(payout.own_reference)

    def test_is_the_random_id_without_a_key(self, make_live_payout: MakePayout) -> None:
        payouts = [make_live_payout() for _ in range(2)]

        assert [payout.provider_key for payout in payouts] == [str(payout.pk) for payout in payouts]

    def test_differs_between_merchants_and_modes(
        self, provider: FakeProvider, make_payout: MakePayout, live_key: MerchantAPIKey, globex: Merchant
    ) -> None:
        globex_key = accounts_services.issue_api_key(globex, name="live", mode=Mode.LIVE)[0]
        make_payout(idempotency_key="k-1")
        for api_key in (live_key, globex_key):
            make_payout(api_key=api_key, idempotency_key="k-1")

        assert Payout.objects.values("own_reference").distinct().count() == 3

    def test_of_a_payout_of_the_version_before_is_its_id(
        self, provider: FakeProvider, make_live_payout: MakePayout
    ) -> None:
        payout = make_live_payout(idempotency_key="k-1")
        with database.unguarded("payouts_payout", "payouts_guard_own_reference"):
            Payout.objects.update(own_reference=None)

        processing.process(payout.pk)

        assert only_reference(provider) == str(payout.pk)

    def test_is_unique(self, make_live_payout: MakePayout) -> None:
        first = make_live_payout(idempotency_key="k-1")

        second = Payout(
            merchant=first.merchant, mode="live", amount=1, currency="EUR", recipient_details="x", provider="fake"
        )
        second.own_reference = first.own_reference

        assert database.refused_by(second.save) == "payout_own_reference_unique"

    def test_never_changes(self, make_live_payout: MakePayout) -> None:
        payout = make_live_payout(idempotency_key="k-1")
        change = partial(Payout.objects.filter(pk=payout.pk).update, own_reference=uuid.uuid4())

        assert database.refused_by(change) == "payout_own_reference_fixed"

    def test_is_sent_by_no_worker_of_the_version_before(self, make_live_payout: MakePayout) -> None:
        """It would call the provider under the id, which a later worker does not know of."""
        payout = make_live_payout(idempotency_key="k-1")
        claims = [partial(payout.attempts.create, number=1, kind=kind) for kind in ("send", "ask")]

        assert [database.refused_by(claim) for claim in claims] == ["payout_attempt_by_known_reference"] * 2
        assert database.refused_by(partial(payout.attempts.create, number=1, kind="operator")) is None

    def test_has_a_number_after_a_refusal(self, provider: FakeProvider, make_live_payout: MakePayout) -> None:
        provider.on_send(fake_provider.REJECTED, fake_provider.PAID)
        payout = make_live_payout(idempotency_key="k-1")
        processing.process(payout.pk)

        operators.retry_payout(payout, actor="operator:ada", reason="the account is open again")
        processing.process(payout.pk)

        sent = [call.instruction.reference for call in provider.calls]
        assert sent == [str(payout.own_reference), f"{payout.own_reference}-2"]


class TestCallback:
    @pytest.mark.parametrize("key", ["k-1", None])
    def test_finds_the_payout(self, make_live_payout: MakePayout, key: str | None) -> None:
        payout = make_live_payout(idempotency_key=key)

        callback = telling.tell(payout.provider_key, "paid")

        assert (callback.result, callback.payout) == ("applied", payout)

    def test_finds_nothing_by_the_id_of_a_payout_with_a_key(self, make_live_payout: MakePayout) -> None:
        payout = make_live_payout(idempotency_key="k-1")

        assert telling.tell(payout.pk, "paid").result == "no_payout"

    def test_finds_a_payout_of_the_version_before(self, make_live_payout: MakePayout) -> None:
        payout = make_live_payout()
        with database.unguarded("payouts_payout", "payouts_guard_own_reference"):
            Payout.objects.update(own_reference=None)

        assert telling.tell(payout.pk, "paid").result == "applied"


class TestLostCommit:
    def test_is_paid_once(self, provider: FakeProvider, bank: OnceBank, make_live_payout: MakePayout) -> None:
        with lost():
            first = make_live_payout(idempotency_key="k-1")
            processing.process(first.pk)
        assert not Payout.objects.exists()

        second = make_live_payout(idempotency_key="k-1")
        processing.process(second.pk)

        second.refresh_from_db()
        reference = only_reference(provider)
        assert bank.executions == {reference: 1}
        assert (second.status, second.provider_reference) == ("paid", f"bank-{reference}")

    def test_is_found_when_the_answer_is_lost_as_well(
        self, provider: FakeProvider, bank: OnceBank, make_live_payout: MakePayout
    ) -> None:
        with lost():
            processing.process(make_live_payout(idempotency_key="k-1").pk)
        provider.on_send(bank.send_and_lose_the_answer)
        second = make_live_payout(idempotency_key="k-1")
        processing.process(second.pk)
        database.make_due(second)

        processing.process(second.pk)

        assert database.statuses(second) == ["pending", "processing", "unknown", "paid"]
        assert list(bank.executions.values()) == [1]

    def test_with_other_terms_needs_an_operator(
        self, provider: FakeProvider, bank: OnceBank, make_live_payout: MakePayout
    ) -> None:
        """The client changed the amount before the send, and the change is lost."""
        with lost():
            processing.process(make_live_payout(idempotency_key="k-1", amount=Decimal("12.00")).pk)
        payout = make_live_payout(idempotency_key="k-1")

        processing.process(payout.pk)

        said = (
            "provider: unknown, reference_conflict: "
            "The bank has this reference with other terms: 12.00 EUR at the bank, 10.50 EUR here."
        )
        assert database.history(payout)[1:] == [
            ("pending", "processing", "worker", "claimed"),
            ("processing", "unknown", "worker", said),
            ("unknown", "requires_attention", "worker", said),
        ]
        payout.refresh_from_db()
        assert (payout.due_at, payout.lease_token) == (None, None)
        assert list(bank.executions.values()) == [1]
        assert provider.kinds == ["send", "send"]
