"""The hand-written INSERT writes what the model would."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import MerchantAPIKey
from payouts import services
from payouts.models import Payout

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
FIELDS = st.fixed_dictionaries(
    {
        "amount": st.decimals("0.0001", "999999999999.9999", places=4),
        "currency": st.sampled_from(["EUR", "JPY", "KWD"]),
        "recipient_details": TEXT | st.dictionaries(st.sampled_from(["name", "account", "address"]), TEXT),
    },
    optional={"comment": TEXT, "reference": TEXT, "metadata": st.dictionaries(TEXT, TEXT, max_size=3)},
)
NOW = datetime(2026, 11, 23, 12, 0, 0, 250000, tzinfo=UTC)


def columns_of(payout: Payout) -> dict[str, Any]:
    """Return all columns as PostgreSQL has them, but those that differ for each payout."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_jsonb(payouts_payout) FROM payouts_payout WHERE id = %s", [payout.pk])
        columns = json.loads(cursor.fetchone()[0])
    own = {"id": str(payout.pk), "own_reference": str(payout.own_reference)}
    assert {name: columns.pop(name) for name in own} == own
    return dict(columns)


@pytest.mark.django_db
class TestInsertion:
    @settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(fields=FIELDS)
    def test_writes_what_the_model_writes(self, acme_key: MerchantAPIKey, fields: dict[str, Any]) -> None:
        new = services.prepare_payout(api_key=acme_key, idempotency_key=None, now=NOW, **fields)
        with connection.cursor() as cursor:
            cursor.execute(f"WITH claimed AS (SELECT), {new.ctes} SELECT", new.parameters)

        plain = services.prepare_payout(api_key=acme_key, idempotency_key=None, now=NOW, **fields).payout
        plain.save(force_insert=True)

        assert columns_of(new.payout) == columns_of(plain)
        stored = Payout.objects.get(pk=new.payout.pk)
        assert (stored.amount, stored.created_at) == (Decimal(fields["amount"]), NOW)

    def test_writes_nothing_if_nothing_is_claimed(self, acme_key: MerchantAPIKey) -> None:
        new = services.prepare_payout(
            api_key=acme_key, idempotency_key=None, now=NOW, amount=Decimal(1), currency="EUR", recipient_details="Jane"
        )
        with connection.cursor() as cursor:
            cursor.execute(f"WITH claimed AS (SELECT LIMIT 0), {new.ctes} SELECT", new.parameters)

        assert Payout.objects.count() == 0
