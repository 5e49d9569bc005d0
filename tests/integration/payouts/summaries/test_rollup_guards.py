"""The trigger of the roll-up beside those of payouts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from payouts.models import Payout, RollupMark
from tests.support import database
from tests.support.rolling import at, day_ago

MakePayout = Callable[..., Payout]


@pytest.mark.django_db
def test_guards_keep_their_word_beside_it(make_payout: MakePayout) -> None:
    """The triggers of before run first: what they refuse leaves no mark."""
    payout = make_payout(created_at=at(day_ago(1)))
    RollupMark.objects.all().delete()

    refused = database.refused_by(lambda: Payout.objects.filter(pk=payout.pk).update(status="paid"))

    assert refused == "payout_transition_allowed"
    assert RollupMark.objects.count() == 0
