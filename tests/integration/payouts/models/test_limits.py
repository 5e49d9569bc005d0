"""Each limit of a text against its column: of the model, and of the database."""

from __future__ import annotations

from typing import Any, Final

from django.apps import apps
from django.db import connection, models

from idempotency import keys
from payouts import errors, limits
from payouts.management import operating
from payouts.operators import ACTOR_PREFIX

LIMITS: Final = {
    "payout.mode": limits.MODE_LENGTH_MAX,
    "payout.status": limits.STATUS_LENGTH_MAX,
    "payout.currency": limits.CURRENCY_LENGTH,
    "payout.comment": limits.COMMENT_LENGTH_MAX,
    "payout.reference": limits.REFERENCE_LENGTH_MAX,
    "payout.idempotency_key": keys.LENGTH_MAX,
    "payout.provider": limits.PROVIDER_LENGTH_MAX,
    "payout.provider_reference": limits.REFERENCE_LENGTH_MAX,
    "payout.failure_code": limits.CODE_LENGTH_MAX,
    "payout.failure_message": limits.MESSAGE_LENGTH_MAX,
    "payoutattempt.kind": 8,
    "payoutattempt.actor": limits.ACTOR_LENGTH_MAX,
    "payoutattempt.bank": limits.BANK_LENGTH_MAX,
    "payoutattempt.outcome": 12,
    "payoutattempt.code": limits.CODE_LENGTH_MAX,
    "payoutattempt.message": limits.MESSAGE_LENGTH_MAX,
    "payouttransition.from_status": limits.STATUS_LENGTH_MAX,
    "payouttransition.to_status": limits.STATUS_LENGTH_MAX,
    "payouttransition.actor": limits.ACTOR_LENGTH_MAX,
    "payouttransition.reason": limits.MESSAGE_LENGTH_MAX,
    "providercallback.provider": limits.PROVIDER_LENGTH_MAX,
    "providercallback.event_id": limits.EVENT_ID_LENGTH_MAX,
    "providercallback.result": 12,
    "providercallback.cleared_by": limits.ACTOR_LENGTH_MAX,
    "providercallback.cleared_reason": limits.MESSAGE_LENGTH_MAX,
    "providercircuit.provider": limits.PROVIDER_LENGTH_MAX,
    "lanecircuit.mode": limits.MODE_LENGTH_MAX,
    "lanecircuit.provider": limits.PROVIDER_LENGTH_MAX,
    "pause.provider": limits.PROVIDER_LENGTH_MAX,
    "pause.reason": limits.MESSAGE_LENGTH_MAX,
    "pause.actor": limits.ACTOR_LENGTH_MAX,
    "pause.ended_by": limits.ACTOR_LENGTH_MAX,
    "export.mode": limits.MODE_LENGTH_MAX,
    "export.kind": 6,
    "export.status": 9,
    "export.format": 6,
    "export.ordering": 16,
    "export.actor": limits.ACTOR_LENGTH_MAX,
    "export.sha256": 64,
    "export.error": limits.MESSAGE_LENGTH_MAX,
    "heartbeat.process": limits.PROCESS_LENGTH_MAX,
    # An unsigned number of 64 bits.
    "knownserver.system_identifier": 20,
    "rollupcell.mode": limits.MODE_LENGTH_MAX,
    "rollupcell.status": limits.STATUS_LENGTH_MAX,
    "rollupcell.currency": limits.CURRENCY_LENGTH,
    "rollupcell.provider": limits.PROVIDER_LENGTH_MAX,
    "rollupmark.mode": limits.MODE_LENGTH_MAX,
}


def texts() -> dict[str, models.CharField[Any, Any]]:
    """Return every column of payouts that has a limit."""
    fields = [field for model in apps.get_app_config("payouts").get_models() for field in model._meta.local_fields]
    return {
        f"{field.model._meta.model_name}.{field.name}": field for field in fields if isinstance(field, models.CharField)
    }


def stored() -> dict[tuple[str, str], int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name, character_maximum_length FROM information_schema.columns"
            " WHERE table_schema = current_schema() AND character_maximum_length IS NOT NULL"
        )
        return {(table, column): length for table, column, length in cursor.fetchall()}


class TestLimits:
    def test_are_those_of_the_models(self) -> None:
        assert {name: field.max_length for name, field in texts().items()} == LIMITS

    def test_are_those_of_the_database(self, db: None) -> None:
        lengths = stored()

        found = {name: lengths[field.model._meta.db_table, str(field.column)] for name, field in texts().items()}

        assert found == LIMITS

    def test_leave_room_for_an_actor(self) -> None:
        assert len(ACTOR_PREFIX) + operating._USER_LENGTH_MAX <= limits.ACTOR_LENGTH_MAX

    def test_are_told_in_the_refusal_of_a_reason(self) -> None:
        assert f"at most {limits.MESSAGE_LENGTH_MAX} characters" in errors.ReasonUnusable().message
