"""What the API shows of a payout, against REST framework's serializer, which says the same in the schema."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from payouts.api import documents, serializers
from payouts.engine import pauses
from payouts.models import Payout

MakePayout = Callable[..., Payout]


def serialized(payout: Payout) -> dict[str, Any]:
    return dict(serializers.PayoutSerializer(payout).data)


def waiting_reasons() -> list[str]:
    rows = documents.Row.of(Payout.objects.order_by("id"))
    return [document["waiting_reason"] for document in documents.many(rows)]


class TestDocuments:
    def test_say_what_the_schema_says(self, make_payout: MakePayout, make_processed_payout: MakePayout) -> None:
        noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
        made = [
            make_payout(created_at=noon, updated_at=noon),
            make_payout(created_at=noon + timedelta(microseconds=250_000), idempotency_key='quo"ted'),
            make_payout(amount=Decimal(1500), currency="JPY"),
            make_payout(amount=Decimal("0.001"), currency="KWD"),
            make_payout(
                recipient_details={"country": "DE", "account": "1", "name": "Zoë", "address": "x", "bank_code": "y"},
                metadata={"b": "\n", "a": "é"},
            ),
            make_payout(recipient_details="  Zo\u00eb, Card ****1234 "),
            make_processed_payout("sandbox_paid"),
            make_processed_payout("sandbox_rejected_account_closed"),
            make_processed_payout("sandbox_unknown"),
        ]
        payouts = list(Payout.objects.filter(pk__in=[payout.pk for payout in made]).order_by("id"))

        rows = documents.Row.of(Payout.objects.order_by("id"))

        expected = [serialized(payout) for payout in payouts]
        assert documents.many(rows) == expected
        assert [documents.one(payout) for payout in payouts] == expected
        assert [list(document) for document in documents.many(rows)] == [list(one) for one in expected]

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
