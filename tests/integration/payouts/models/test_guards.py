"""What the database refuses, compared with the table of states.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, connection
from django.db.models.functions import Now

from accounts.models import Merchant
from payouts import errors, states, transitions
from payouts.models import Payout, PayoutAttempt, ProviderCallback
from payouts.states import AttemptOutcome, PayoutStatus
from tests.support import database

pytestmark = pytest.mark.django_db

S = PayoutStatus

# The table of the documentation, read aloud once more: what is not here is refused.
ALLOWED = {
    (S.PENDING, S.PROCESSING),
    (S.PENDING, S.CANCELED),
    (S.PROCESSING, S.SUBMITTED),
    (S.PROCESSING, S.PAID),
    (S.PROCESSING, S.FAILED),
    (S.PROCESSING, S.UNKNOWN),
    (S.PROCESSING, S.PENDING),
    (S.SUBMITTED, S.PAID),
    (S.SUBMITTED, S.FAILED),
    (S.SUBMITTED, S.REQUIRES_ATTENTION),
    (S.UNKNOWN, S.SUBMITTED),
    (S.UNKNOWN, S.PAID),
    (S.UNKNOWN, S.FAILED),
    (S.UNKNOWN, S.PROCESSING),
    (S.UNKNOWN, S.REQUIRES_ATTENTION),
    (S.REQUIRES_ATTENTION, S.PAID),
    (S.REQUIRES_ATTENTION, S.FAILED),
    (S.REQUIRES_ATTENTION, S.PENDING),
    (S.PAID, S.RETURNED),
    (S.FAILED, S.PENDING),
    (S.FAILED, S.PAID),
    (S.CANCELED, S.PAID),
}
PAIRS = [(source, target) for source in S for target in S if source != target]
BEYOND_PENDING = [status for status in S if status != S.PENDING]

# None of these can have moved money under the payout's present reference.
HARMLESS_ATTEMPTS: tuple[dict[str, Any], ...] = (
    {"kind": "send", "outcome": "not_sent"},
    {"kind": "send", "outcome": "rejected", "reference_number": 2},
    {"kind": "ask", "outcome": "unknown"},
    {"kind": "callback", "outcome": "rejected"},
    {"kind": "operator", "outcome": "retried"},
)


def update_sql(payout: Payout, assignment: str, value: Any) -> Callable[[], None]:
    """Return a raw UPDATE of one column. The assignment comes from this file."""
    return lambda: database.execute(f"UPDATE payouts_payout SET {assignment} WHERE id = %s", [value, payout.pk])


class TestStatusGuard:
    @pytest.mark.parametrize(("source", "target"), PAIRS)
    def test_database_and_table_agree(
        self, make_payout: Callable[..., Payout], source: PayoutStatus, target: PayoutStatus
    ) -> None:
        payout = database.put_into(make_payout(), source)

        refused_by = database.refused_by(update_sql(payout, "status = %s", target.value))

        assert (refused_by is None) == ((source, target) in ALLOWED)
        assert refused_by in {None, "payout_transition_allowed"}
        assert states.may_become(source, target) == ((source, target) in ALLOWED)

    @pytest.mark.parametrize(("source", "target"), PAIRS)
    def test_move_and_table_agree(
        self, make_payout: Callable[..., Payout], source: PayoutStatus, target: PayoutStatus
    ) -> None:
        payout = database.put_into(make_payout(), source)
        refused = False

        try:
            transitions.move(payout.pk, source=source, target=target, actor="test", reason="table")
        except errors.TransitionNotAllowed:
            refused = True

        payout.refresh_from_db()
        assert refused == ((source, target) not in ALLOWED)
        assert payout.status == (source if refused else target)

    @pytest.mark.parametrize("form", ["5", "true", "null", "[]", '["Jane"]'])
    def test_knows_no_other_form_of_a_recipient(self, make_payout: Callable[..., Payout], form: str) -> None:
        payout = make_payout()

        assert database.refused_by(update_sql(payout, "recipient_details = %s", form)) == (
            "payout_recipient_text_or_object"
        )

    def test_begins_pending(self, make_payout: Callable[..., Payout]) -> None:
        payout = make_payout()
        payout.pk, payout.status = None, S.PAID

        assert database.refused_by(payout.save) == "payout_begins_pending"

    def test_knows_no_other_status(self, make_payout: Callable[..., Payout]) -> None:
        payout = make_payout()

        assert database.refused_by(update_sql(payout, "status = %s", "lost")) == "payout_transition_allowed"


class TestTermsGuard:
    CHANGES = (
        ("amount = %s", "11"),
        ("currency = %s", "USD"),
        ("recipient_details = %s", '{"name": "Mallory", "account": "1"}'),
        ("provider = %s", "other"),
    )

    @pytest.mark.parametrize(("assignment", "value"), CHANGES)
    def test_lets_a_pending_payout_change(
        self, make_payout: Callable[..., Payout], assignment: str, value: str
    ) -> None:
        assert database.refused_by(update_sql(make_payout(), assignment, value)) is None

    @pytest.mark.parametrize("status", BEYOND_PENDING)
    @pytest.mark.parametrize(("assignment", "value"), CHANGES)
    def test_refuses_afterwards(
        self, make_payout: Callable[..., Payout], status: PayoutStatus, assignment: str, value: str
    ) -> None:
        payout = database.put_into(make_payout(), status)

        assert database.refused_by(update_sql(payout, assignment, value)) == "payout_terms_fixed"

    @pytest.mark.parametrize(("assignment", "value"), CHANGES)
    def test_refuses_together_with_the_claim(
        self, make_payout: Callable[..., Payout], assignment: str, value: str
    ) -> None:
        payout = make_payout()

        assert (
            database.refused_by(update_sql(payout, f"status = 'processing', {assignment}", value))
            == "payout_terms_fixed"
        )

    @pytest.mark.parametrize(("assignment", "value"), CHANGES)
    @pytest.mark.parametrize("outcome", ["", *sorted(set(AttemptOutcome) - {AttemptOutcome.NOT_SENT})])
    def test_refuses_what_may_have_been_sent(
        self, make_payout: Callable[..., Payout], assignment: str, value: str, outcome: str
    ) -> None:
        """Pending again by an operator's retry."""
        payout = make_payout()
        payout.attempts.create(number=1, kind="send", outcome=outcome)

        assert database.refused_by(update_sql(payout, assignment, value)) == "payout_terms_fixed"

    @pytest.mark.parametrize(("assignment", "value"), CHANGES)
    @pytest.mark.parametrize("attempt", HARMLESS_ATTEMPTS)
    def test_lets_what_was_never_sent_change(
        self, make_payout: Callable[..., Payout], assignment: str, value: str, attempt: dict[str, Any]
    ) -> None:
        payout = make_payout()
        payout.attempts.create(number=1, **attempt)

        assert database.refused_by(update_sql(payout, assignment, value)) is None

    @pytest.mark.parametrize("status", list(S))
    def test_lets_the_merchants_notes_change(self, make_payout: Callable[..., Payout], status: PayoutStatus) -> None:
        payout = database.put_into(make_payout(), status)

        assert database.refused_by(update_sql(payout, "comment = %s", "corrected")) is None


class TestCancelGuard:
    @pytest.mark.parametrize("outcome", ["", *sorted(set(AttemptOutcome) - {AttemptOutcome.NOT_SENT})])
    def test_refuses_what_may_have_been_sent(self, make_payout: Callable[..., Payout], outcome: str) -> None:
        payout = make_payout()
        payout.attempts.create(number=1, kind="send", outcome=outcome)

        assert database.refused_by(update_sql(payout, "status = %s", "canceled")) == "payout_canceled_unsent"

    @pytest.mark.parametrize("attempt", HARMLESS_ATTEMPTS)
    def test_lets_go_what_was_never_sent(self, make_payout: Callable[..., Payout], attempt: dict[str, Any]) -> None:
        payout = make_payout()
        payout.attempts.create(number=1, **attempt)

        assert database.refused_by(update_sql(payout, "status = %s", "canceled")) is None


class TestReferenceGuard:
    """Under another reference the provider would pay once more."""

    @pytest.mark.parametrize("status", list(S))
    def test_stays_while_the_status_does(self, make_payout: Callable[..., Payout], status: PayoutStatus) -> None:
        payout = database.put_into(make_payout(), status)

        assert database.refused_by(update_sql(payout, "reference_number = %s", 2)) == "payout_reference_fixed"

    @pytest.mark.parametrize(("source", "target"), sorted(ALLOWED))
    def test_changes_when_a_failed_payout_is_sent_again(
        self, make_payout: Callable[..., Payout], source: PayoutStatus, target: PayoutStatus
    ) -> None:
        payout = database.put_into(make_payout(), source)
        update = update_sql(payout, f"status = '{target.value}', reference_number = %s", 2)

        expected = None if (source, target) == (S.FAILED, S.PENDING) else "payout_reference_fixed"
        assert database.refused_by(update) == expected

    @pytest.mark.parametrize("number", [0, 3, -1])
    def test_counts_by_one(self, make_payout: Callable[..., Payout], number: int) -> None:
        payout = database.put_into(make_payout(), S.FAILED)
        update = update_sql(payout, "status = 'pending', reference_number = %s", number)

        refused_by = database.refused_by(update)

        # A negative number is none for its column either.
        assert refused_by in {"payout_reference_fixed", "payouts_payout_reference_number_check"}


class TestAttemptGuard:
    """Attempts are written once; one that is under way can be completed, once."""

    @pytest.fixture
    def under_way(self, make_payout: Callable[..., Payout]) -> PayoutAttempt:
        return make_payout().attempts.create(number=1, kind="send")

    @pytest.fixture
    def complete(self, under_way: PayoutAttempt) -> PayoutAttempt:
        PayoutAttempt.objects.filter(pk=under_way.pk).update(outcome="paid", finished_at=Now())
        return under_way

    def test_completes_one_that_is_under_way(self, complete: PayoutAttempt) -> None:
        complete.refresh_from_db()
        assert complete.outcome == "paid"
        assert complete.finished_at is not None

    @pytest.mark.parametrize(
        "assignment",
        [
            "outcome = 'rejected'",
            "code = 'x'",
            "message = 'x'",
            "finished_at = NULL",
            "finished_at = now()",
            "number = 2",
            "outcome = outcome",
        ],
    )
    def test_keeps_what_is_complete(self, complete: PayoutAttempt, assignment: str) -> None:
        sql = f"UPDATE payouts_payoutattempt SET {assignment} WHERE id = %s"

        refused_by = database.refused_by(lambda: database.execute(sql, [complete.pk]))

        assert refused_by == "payout_attempt_append_only"

    @pytest.mark.parametrize(
        "assignment",
        [
            "number = 2",
            "kind = 'ask'",
            "reference_number = 2",
            "actor = 'operator:x'",
            "bank = 'x'",
            "lease_token = gen_random_uuid()",
            "started_at = now() + interval '1 s'",
            "payout_id = gen_random_uuid()",
            "id = id + 1000",
        ],
    )
    def test_keeps_what_it_is_about(self, under_way: PayoutAttempt, assignment: str) -> None:
        sql = f"UPDATE payouts_payoutattempt SET {assignment}, outcome = 'paid', finished_at = now() WHERE id = %s"

        refused_by = database.refused_by(lambda: database.execute(sql, [under_way.pk]))

        assert refused_by == "payout_attempt_append_only"

    @pytest.mark.parametrize("which", ["under_way", "complete"])
    def test_keeps_all_of_them(self, request: pytest.FixtureRequest, which: str) -> None:
        attempt = request.getfixturevalue(which)
        delete = "DELETE FROM payouts_payoutattempt WHERE id = %s"

        refused_by = database.refused_by(lambda: database.execute(delete, [attempt.pk]))

        assert refused_by == "payout_attempt_append_only"


class TestOwnerGuard:
    @pytest.mark.parametrize("status", list(S))
    def test_keeps_its_merchant(
        self, make_payout: Callable[..., Payout], globex: Merchant, status: PayoutStatus
    ) -> None:
        payout = database.put_into(make_payout(), status)

        assert database.refused_by(update_sql(payout, "merchant_id = %s", globex.pk)) == "payout_owner_fixed"

    @pytest.mark.parametrize("status", list(S))
    def test_keeps_its_mode(self, make_payout: Callable[..., Payout], status: PayoutStatus) -> None:
        payout = database.put_into(make_payout(), status)

        assert database.refused_by(update_sql(payout, "mode = %s", "live")) == "payout_owner_fixed"


class TestAuditGuard:
    @pytest.mark.parametrize("status", list(S))
    def test_keeps_the_payout(self, make_payout: Callable[..., Payout], status: PayoutStatus) -> None:
        payout = database.put_into(make_payout(), status)
        delete = "DELETE FROM payouts_payout WHERE id = %s"

        assert database.refused_by(lambda: database.execute(delete, [payout.pk])) == "payout_kept_for_audit"

    def test_keeps_the_history_as_written(self, make_payout: Callable[..., Payout]) -> None:
        payout = make_payout()
        update = "UPDATE payouts_payouttransition SET reason = 'other' WHERE payout_id = %s"

        assert database.refused_by(lambda: database.execute(update, [payout.pk])) == "payout_transition_append_only"

    def test_keeps_the_history_whole(self, make_payout: Callable[..., Payout]) -> None:
        payout = make_payout()
        delete = "DELETE FROM payouts_payouttransition WHERE payout_id = %s"

        assert database.refused_by(lambda: database.execute(delete, [payout.pk])) == "payout_transition_append_only"

    def test_keeps_a_merchant_that_has_payouts(self, make_payout: Callable[..., Payout]) -> None:
        payout = make_payout()
        delete = "DELETE FROM accounts_merchant WHERE id = %s"

        # Foreign keys are looked at when the transaction ends.
        database.execute(delete, [payout.merchant_id])
        with pytest.raises(IntegrityError, match="foreign key"):
            connection.check_constraints()
        connection.set_rollback(True)


class TestConstraints:
    @pytest.mark.parametrize(
        ("assignment", "value", "constraint"),
        [
            ("amount = %s", "0", "payout_amount_positive"),
            ("amount = %s", "-1", "payout_amount_positive"),
            ("currency = %s", "eur", "payout_currency_is_code"),
            ("currency = %s", "E", "payout_currency_is_code"),
            ("lease_token = %s", "018f0000-0000-7000-8000-000000000000", "payout_lease_whole"),
            ("lease_expires_at = %s", "2030-01-01", "payout_lease_whole"),
        ],
    )
    def test_refuses_nonsense(
        self, make_payout: Callable[..., Payout], assignment: str, value: str, constraint: str
    ) -> None:
        assert database.refused_by(update_sql(make_payout(), assignment, value)) == constraint

    def test_idempotency_key_is_unique_even_without_the_idempotency_app(
        self, make_payout: Callable[..., Payout]
    ) -> None:
        make_payout(idempotency_key="k-1")
        other = make_payout()

        refused_by = database.refused_by(lambda: Payout.objects.filter(pk=other.pk).update(idempotency_key="k-1"))

        assert refused_by == "payout_idempotency_key_unique_per_merchant"

    def test_payouts_without_a_key_do_not_meet(self, make_payout: Callable[..., Payout]) -> None:
        make_payout()
        make_payout()

        assert Payout.objects.count() == 2

    def test_a_callback_is_stored_once(self, db: None) -> None:
        ProviderCallback.objects.create(provider="fake", event_id="e-1", body=b"")

        refused_by = database.refused_by(
            lambda: ProviderCallback.objects.create(provider="fake", event_id="e-1", body=b"other")
        )

        assert refused_by == "provider_callback_stored_once"

    def test_attempt_number_is_unique(self, make_payout: Callable[..., Payout]) -> None:
        payout = make_payout()
        payout.attempts.create(number=1, kind="send")

        refused_by = database.refused_by(lambda: payout.attempts.create(number=1, kind="ask"))

        assert refused_by == "payout_attempt_number_unique"
