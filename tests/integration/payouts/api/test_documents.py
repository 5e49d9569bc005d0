"""What the API shows of a payout."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from payouts.api import documents, serializers
from payouts.engine import pauses
from payouts.models import Payout

MakePayout = Callable[..., Payout]


def waiting_reasons() -> list[str]:
    rows = documents.Row.of(Payout.objects.order_by("id"))
    return [document["waiting_reason"] for document in documents.many(rows)]


class TestDocuments:
    def test_have_the_fields_of_the_schema(self, make_payout: MakePayout) -> None:
        assert list(documents.one(make_payout())) == list(serializers.PayoutSerializer().fields)

    def test_show_values_as_they_are_documented(self, make_payout: MakePayout) -> None:
        noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
        quarter = timedelta(microseconds=250_000)
        recipient = {"country": "DE", "account": "1", "name": "Zo\u00eb", "address": "x", "bank_code": "y"}
        make_payout(amount=Decimal("10.5"), created_at=noon, updated_at=noon + quarter, idempotency_key='quo"ted')
        make_payout(amount=Decimal(1500), currency="JPY", recipient_details=recipient, metadata={"b": "\n", "a": ""})
        make_payout(amount=Decimal("0.001"), currency="KWD", recipient_details="  Zo\u00eb, Card ****1234 ")

        first, second, third = documents.many(documents.Row.of(Payout.objects.order_by("id")))

        assert [one["amount"] for one in (first, second, third)] == ["10.50", "1500", "0.001"]
        assert (first["created_at"], first["updated_at"]) == ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00.250000Z")
        assert (first["idempotency_key"], second["idempotency_key"]) == ('quo"ted', None)
        assert (second["recipient_details"], second["metadata"]) == (recipient, {"b": "\n", "a": ""})
        assert list(second["recipient_details"]) == ["name", "account", "bank_code", "country", "address"]
        assert third["recipient_details"] == "  Zo\u00eb, Card ****1234 "
        assert (third["waiting_reason"], third["completed_at"]) == ("", None)

    def test_are_the_same_in_a_list(self, make_payout: MakePayout, make_processed_payout: MakePayout) -> None:
        make_payout(amount=Decimal("10.5"), recipient_details={"name": "Zo\u00eb", "account": "1"}, metadata={"a": "b"})
        make_payout(created_at=datetime(2026, 1, 31, 12, tzinfo=UTC), recipient_details="Card ****1234")
        for account in ("sandbox_paid", "sandbox_rejected_account_closed", "sandbox_unknown"):
            make_processed_payout(account)
        payouts = Payout.objects.order_by("id")

        listed = documents.many(documents.Row.of(payouts))

        assert listed == [documents.one(payout) for payout in payouts]

    def test_say_why_a_payout_waits(self, make_payout: MakePayout, make_processed_payout: MakePayout) -> None:
        make_processed_payout("sandbox_unavailable_3")
        make_payout()

        reasons = waiting_reasons()
        pauses.pause(pauses.Scope(), actor="operator:alice", reason="a fire")
        paused = waiting_reasons()

        assert reasons == ["provider_unavailable", ""]
        assert paused == ["payouts_paused", "payouts_paused"]

    def test_of_nothing_are_none(self, db: None) -> None:
        assert documents.Row.of(Payout.objects.none()) == []
        assert documents.many([]) == []
