"""An operator settles what machines must not decide: by evidence, with a reason on record."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from payouts import errors, operators
from payouts.models import Payout
from payouts.states import PayoutStatus
from tests.support import database


@pytest.fixture
def stuck_payout(make_payout: Callable[..., Payout]) -> Payout:
    return database.put_into(make_payout(), PayoutStatus.REQUIRES_ATTENTION)


class TestResolvePayout:
    @pytest.mark.parametrize(("target", "failure_code"), [("paid", ""), ("failed", "resolved_by_operator")])
    def test_settles_with_the_reason_on_record(self, stuck_payout: Payout, target: str, failure_code: str) -> None:
        call_command("resolve_payout", str(stuck_payout.pk), "--to", target, "--reason", " line 7 of the statement ")

        stuck_payout.refresh_from_db()
        assert (stuck_payout.status, stuck_payout.failure_code, stuck_payout.due_at) == (target, failure_code, None)
        source, reached, actor, reason = database.history(stuck_payout)[-1]
        assert (source, reached, reason) == ("requires_attention", target, "line 7 of the statement")
        assert actor.startswith("operator:")

    def test_needs_a_reason(self, stuck_payout: Payout) -> None:
        with pytest.raises(errors.ReasonMissing):
            operators.resolve_payout(stuck_payout, target=PayoutStatus.PAID, actor="operator:test", reason="  ")

        stuck_payout.refresh_from_db()
        assert stuck_payout.status == "requires_attention"

    def test_refuses_any_other_payout(self, make_payout: Callable[..., Payout]) -> None:
        payout = make_payout()

        with (
            pytest.raises(CommandError, match=r"This payout is pending\. Only a payout that requires attention"),
            transaction.atomic(),
        ):
            call_command("resolve_payout", str(payout.pk), "--to", "paid", "--reason", "seen")

        payout.refresh_from_db()
        assert payout.status == "pending"

    def test_refuses_an_id_that_there_is_not(self, db: None) -> None:
        with pytest.raises(CommandError, match="There is no payout"):
            call_command("resolve_payout", "01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f", "--to", "paid", "--reason", "seen")
