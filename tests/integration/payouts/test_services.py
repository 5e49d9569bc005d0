from __future__ import annotations

import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from accounts import services as accounts_services
from accounts.models import Merchant, MerchantAPIKey, Mode
from payouts import errors, services
from payouts.engine import processing
from payouts.models import Payout
from payouts.states import PayoutStatus
from tests.support import database, factories, racing
from tests.support.fake_provider import FakeProvider

BEYOND_PENDING = [status for status in PayoutStatus if status != PayoutStatus.PENDING]
MAKES_MONEY_MOVE = [status for status in BEYOND_PENDING if status not in {PayoutStatus.FAILED, PayoutStatus.CANCELED}]


@pytest.mark.django_db
class TestCreatePayout:
    def test_creates_a_pending_payout_with_history(self, acme: Merchant, acme_key: MerchantAPIKey) -> None:
        created = services.create_payout(
            api_key=acme_key, idempotency_key="k-1", **factories.payout_fields(reference="order-7")
        )

        payout = Payout.objects.get()
        assert payout.pk == created.pk
        assert (payout.merchant, payout.mode, payout.status, payout.provider) == (acme, "test", "pending", "sandbox")
        assert (payout.amount, payout.currency, payout.reference) == (Decimal("10.50"), "EUR", "order-7")
        assert (payout.idempotency_key, payout.version, payout.attempts_count) == ("k-1", 1, 0)
        assert payout.first_sent_at is None
        assert database.history(payout) == [("", "pending", f"merchant:{acme_key.prefix}", "created")]

    def test_refuses_a_second_one_for_a_key_whose_record_is_lost(self, make_payout: Callable[..., Payout]) -> None:
        make_payout(idempotency_key="k-1")

        with pytest.raises(errors.PayoutExists), transaction.atomic():
            make_payout(idempotency_key="k-1")

        assert Payout.objects.count() == 1

    def test_is_due_at_once(self, make_payout: Callable[..., Payout]) -> None:
        due_in = database.due_in_seconds(make_payout())

        assert due_in is not None
        assert -5 < due_in <= 0

    def test_never_names_the_keys_secret(self, acme: Merchant) -> None:
        api_key, secret = accounts_services.issue_api_key(acme, name="test")

        payout = services.create_payout(api_key=api_key, idempotency_key=None, **factories.payout_fields())

        assert secret.split(".")[1] not in str(database.history(payout))

    def test_refuses_live_payouts_without_a_provider(self, live_key: MerchantAPIKey) -> None:
        with pytest.raises(errors.LiveProviderMissing), transaction.atomic():
            services.create_payout(api_key=live_key, idempotency_key=None, **factories.payout_fields())

        assert Payout.objects.count() == 0

    def test_test_payouts_go_to_the_sandbox_whatever_is_live(self, provider: FakeProvider, acme: Merchant) -> None:
        test_key = accounts_services.issue_api_key(acme, name="test", mode=Mode.TEST)[0]

        payout = services.create_payout(api_key=test_key, idempotency_key=None, **factories.payout_fields())

        assert payout.provider == "sandbox"


@pytest.mark.django_db
class TestUpdatePayout:
    def test_changes_what_is_paid_to_whom_while_pending(self, make_payout: Callable[..., Payout]) -> None:
        payout = make_payout()
        recipient = {"name": "John Doe", "account": "1"}

        updated = services.update_payout(
            payout, amount=Decimal("7"), currency="JPY", recipient_details=recipient, reference="r"
        )

        payout.refresh_from_db()
        assert (payout.amount, payout.currency, payout.recipient_details) == (Decimal("7"), "JPY", recipient)
        assert (updated.version, payout.version) == (2, 2)
        assert payout.updated_at > payout.created_at
        assert database.statuses(payout) == ["pending"]

    @pytest.mark.parametrize("status", BEYOND_PENDING)
    @pytest.mark.parametrize(
        "fields",
        [
            {"amount": Decimal(11)},
            {"currency": "USD"},
            {"recipient_details": {"name": "Mallory", "account": "1"}},
            {"reference": "other"},
        ],
    )
    def test_refuses_afterwards(
        self, make_payout: Callable[..., Payout], status: PayoutStatus, fields: dict[str, Any]
    ) -> None:
        payout = database.put_into(make_payout(), status)

        with (
            pytest.raises(errors.PayoutNotChangeable, match=f"This payout is {status.label.lower()}"),
            transaction.atomic(),
        ):
            services.update_payout(payout, comment="x", **fields)

        payout.refresh_from_db()
        assert (payout.version, payout.comment) == (1, "")

    @pytest.mark.parametrize("status", list(PayoutStatus))
    def test_changes_notes_always(self, make_payout: Callable[..., Payout], status: PayoutStatus) -> None:
        payout = database.put_into(make_payout(), status)

        updated = services.update_payout(payout, comment="seen", metadata={"k": "v"})

        assert (updated.comment, updated.metadata, updated.version, updated.status) == ("seen", {"k": "v"}, 2, status)

    @pytest.mark.parametrize("status", [PayoutStatus.PENDING, PayoutStatus.PAID])
    def test_the_same_values_are_no_change(self, make_payout: Callable[..., Payout], status: PayoutStatus) -> None:
        payout = database.put_into(make_payout(), status)

        updated = services.update_payout(payout, amount=Decimal("10.5"), currency="EUR", comment="")

        assert updated.version == 1
        assert updated.updated_at == payout.updated_at

    @pytest.mark.parametrize("expected", [None, {1}, {7, 1}])
    def test_of_an_expected_version(self, make_payout: Callable[..., Payout], expected: set[int] | None) -> None:
        assert services.update_payout(make_payout(), expected_versions=expected, comment="x").version == 2

    @pytest.mark.parametrize("expected", [{2}, {11, 12}, set()])
    def test_of_another_version_than_expected(self, make_payout: Callable[..., Payout], expected: set[int]) -> None:
        payout = make_payout()

        with pytest.raises(errors.PayoutChanged), transaction.atomic():
            services.update_payout(payout, expected_versions=expected, comment="x")

        payout.refresh_from_db()
        assert payout.comment == ""

    def test_a_deleted_payout_is_not_found(self, make_payout: Callable[..., Payout]) -> None:
        payout = make_payout()
        services.delete_payout(payout, actor="merchant:x")

        with pytest.raises(errors.PayoutNotFound), transaction.atomic():
            services.update_payout(payout, comment="x")


@pytest.mark.django_db
class TestCancelPayout:
    def test_cancels_a_pending_payout(self, make_payout: Callable[..., Payout]) -> None:
        payout = make_payout()

        canceled = services.cancel_payout(payout, actor="merchant:abc")

        assert (canceled.status, canceled.due_at, canceled.version) == ("canceled", None, 2)
        assert database.history(payout)[1:] == [("pending", "canceled", "merchant:abc", "canceled by the merchant")]

    def test_again_changes_nothing(self, make_payout: Callable[..., Payout]) -> None:
        payout = make_payout()
        services.cancel_payout(payout, actor="merchant:abc")

        again = services.cancel_payout(payout, actor="merchant:abc")

        assert (again.status, again.version) == ("canceled", 2)
        assert database.statuses(payout) == ["pending", "canceled"]

    @pytest.mark.parametrize("status", [status for status in BEYOND_PENDING if status != PayoutStatus.CANCELED])
    def test_refuses_every_other_status(self, make_payout: Callable[..., Payout], status: PayoutStatus) -> None:
        payout = database.put_into(make_payout(), status)

        with (
            pytest.raises(errors.PayoutNotCancelable, match=f"This payout is {status.label.lower()}"),
            transaction.atomic(),
        ):
            services.cancel_payout(payout, actor="merchant:abc")

        payout.refresh_from_db()
        assert payout.status == status
        assert database.statuses(payout) == ["pending"]

    def test_is_never_sent_afterwards(self, provider: FakeProvider, live_payout: Payout) -> None:
        services.cancel_payout(live_payout, actor="merchant:abc")

        processing.process(live_payout.pk)

        assert provider.calls == []


@pytest.mark.django_db
class TestDeletePayout:
    def test_cancels_a_pending_payout_first(self, make_payout: Callable[..., Payout]) -> None:
        payout = make_payout()

        services.delete_payout(payout, actor="merchant:abc")

        payout.refresh_from_db()
        assert payout.status == "canceled"
        assert payout.deleted_at is not None
        assert payout.due_at is None
        assert database.history(payout)[1:] == [("pending", "canceled", "merchant:abc", "canceled by the merchant")]

    @pytest.mark.parametrize("status", [PayoutStatus.FAILED, PayoutStatus.CANCELED])
    def test_keeps_the_status_of_one_that_is_final(
        self, make_payout: Callable[..., Payout], status: PayoutStatus
    ) -> None:
        payout = database.put_into(make_payout(), status)

        services.delete_payout(payout, actor="merchant:abc")

        payout.refresh_from_db()
        assert payout.deleted_at is not None
        assert payout.status == status
        assert database.statuses(payout) == ["pending"]

    @pytest.mark.parametrize("status", MAKES_MONEY_MOVE)
    def test_refuses_where_money_may_move(self, make_payout: Callable[..., Payout], status: PayoutStatus) -> None:
        payout = database.put_into(make_payout(), status)

        with (
            pytest.raises(errors.PayoutNotDeletable, match=f"This payout is {status.label.lower()}"),
            transaction.atomic(),
        ):
            services.delete_payout(payout, actor="merchant:abc")

        payout.refresh_from_db()
        assert payout.deleted_at is None

    def test_of_another_version_than_expected(self, make_payout: Callable[..., Payout]) -> None:
        payout = make_payout()

        with pytest.raises(errors.PayoutChanged), transaction.atomic():
            services.delete_payout(payout, actor="merchant:abc", expected_versions={9})

        payout.refresh_from_db()
        assert (payout.status, payout.deleted_at) == ("pending", None)

    def test_twice_is_not_found(self, make_payout: Callable[..., Payout]) -> None:
        payout = make_payout()
        services.delete_payout(payout, actor="merchant:abc")

        with pytest.raises(errors.PayoutNotFound), transaction.atomic():
            services.delete_payout(payout, actor="merchant:abc")


@pytest.mark.django_db(transaction=True)
class TestRaces:
    def test_a_change_that_is_under_way_is_what_the_worker_sends(
        self, provider: FakeProvider, live_payout: Payout
    ) -> None:
        """The worker's claim passes over a payout that its merchant changes, and the next one sends the new amount."""
        changed, passed_over = threading.Event(), threading.Event()

        def change() -> None:
            with transaction.atomic():
                services.update_payout(live_payout, amount=Decimal(99))
                changed.set()
                assert passed_over.wait(10)

        def work() -> None:
            assert changed.wait(10)
            processing.process(live_payout.pk)
            passed_over.set()

        results = racing.run_together(change, work)

        assert results == [None, None]
        assert provider.calls == []
        processing.process(live_payout.pk)
        assert [call.instruction.amount for call in provider.calls] == [Decimal(99)]

    def test_a_change_and_a_claim_never_mix(
        self, provider: FakeProvider, make_live_payout: Callable[..., Payout]
    ) -> None:
        for _ in range(5):
            payout = make_live_payout()

            changed = racing.run_together(
                lambda: processing.process(payout.pk),  # noqa: B023 - it runs before the next round
                lambda: services.update_payout(payout, amount=Decimal(99)),  # noqa: B023
            )[1]

            # The claim passes over a row that is being changed.
            processing.process(payout.pk)
            payout.refresh_from_db()
            sent = provider.calls[-1].instruction.amount
            assert payout.status == "paid"
            assert sent == payout.amount == (Decimal(99) if isinstance(changed, Payout) else Decimal("10.50"))
            assert isinstance(changed, Payout | errors.PayoutNotChangeable)

    def test_two_changes_that_do_not_fit_together_do_not_meet(self, make_payout: Callable[..., Payout]) -> None:
        """Yen have no decimals: one request changes the currency, the other one the amount, each right by itself."""
        payout = make_payout(amount=Decimal(10))

        results = racing.run_together(
            lambda: services.update_payout(payout, currency="JPY"),
            lambda: services.update_payout(payout, amount=Decimal("10.25")),
        )

        payout.refresh_from_db()
        assert sorted(type(result).__name__ for result in results) == ["AmountDoesNotFit", "Payout"]
        assert (payout.currency, payout.amount) in {("JPY", Decimal(10)), ("EUR", Decimal("10.25"))}

    def test_of_two_changes_with_one_etag_one_wins(self, make_payout: Callable[..., Payout]) -> None:
        payout = make_payout()

        results = racing.run_together(
            *[
                lambda comment=comment: services.update_payout(
                    payout, expected_versions={payout.version}, comment=comment
                )
                for comment in ("a", "b", "c", "d")
            ]
        )

        assert sum(isinstance(result, Payout) for result in results) == 1
        assert sum(isinstance(result, errors.PayoutChanged) for result in results) == 3
        payout.refresh_from_db()
        assert payout.version == 2

    def test_a_deletion_and_a_claim(self, provider: FakeProvider, live_payout: Payout) -> None:
        deleted = racing.run_together(
            lambda: processing.process(live_payout.pk),
            lambda: services.delete_payout(live_payout, actor="merchant:x"),
        )[1]

        live_payout.refresh_from_db()
        if deleted is None:
            assert (live_payout.status, provider.kinds) == ("canceled", [])
        else:
            assert isinstance(deleted, errors.PayoutNotDeletable)
            assert (live_payout.status, live_payout.deleted_at, provider.kinds) == ("paid", None, ["send"])
