"""The roll-up comes to an installation that has payouts, and goes again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import transaction

from accounts.models import MerchantAPIKey
from payouts import services
from payouts.models import Payout, RollupCell, RollupMark
from tests.support import database, rolling, upgrading
from tests.support.rolling import at, day_ago

MakePayout = Callable[..., Payout]

BEFORE = "0008"


def cancel(payout: Payout) -> None:
    services.cancel_payout(payout, actor="merchant:test")


def cancel_on_the_old_schema(payout: Payout) -> None:
    """Cancel as a version does that does not know the columns of today."""
    database.execute(
        "UPDATE payouts_payout SET status = 'canceled', due_at = NULL, version = version + 1 WHERE id = %s", [payout.pk]
    )


def relations() -> set[str]:
    found = upgrading.rows(
        "SELECT relname FROM pg_class WHERE relname LIKE 'payouts_rollup%' AND relkind = 'r' UNION "
        "SELECT tgname FROM pg_trigger WHERE tgname LIKE '%rollup%' UNION "
        "SELECT proname FROM pg_proc WHERE proname LIKE '%rollup%'"
    )
    return {name for (name,) in found}


@pytest.mark.usefixtures("migrated")
class TestMigration:
    def test_finds_the_payouts_that_there_are(self, acme_key: MerchantAPIKey, make_payout: MakePayout) -> None:
        payouts = [make_payout(created_at=at(day_ago(number))) for number in (2, 1, 0)]
        upgrading.migrate(BEFORE)

        upgrading.migrate(upgrading.LATEST)

        assert rolling.count(acme_key) == 3
        assert RollupMark.objects.count() == 0
        rolling.close(day_ago(1))
        cancel(payouts[0])
        assert RollupCell.objects.count() == 2
        assert [mark.day for mark in RollupMark.objects.all()] == [day_ago(2)]
        assert [row["count"] for row in rolling.summary(acme_key)["results"]] == [1, 2]

    def test_can_be_undone_and_done_again(self, acme_key: MerchantAPIKey, make_payout: MakePayout) -> None:
        payouts = [make_payout(created_at=at(day_ago(number))) for number in (2, 1)]
        rolling.close(day_ago(1))
        there = relations()
        assert there == {
            "payouts_rollupcell",
            "payouts_rollupmark",
            "payouts_rollupstate",
            "payouts_mark_rollup",
            "payouts_mark_rollup_inserted",
            "payouts_mark_rollup_updated",
        }

        upgrading.migrate(BEFORE)

        assert relations() == set()
        # Nobody marks it, ...
        cancel_on_the_old_schema(payouts[0])
        upgrading.migrate(upgrading.LATEST)
        # ... and nobody needs to: the roll-up begins anew.
        assert relations() == there
        assert (RollupCell.objects.count(), RollupMark.objects.count()) == (0, 0)
        assert {row["status"]: row["count"] for row in rolling.summary(acme_key)["results"]} == {
            "canceled": 1,
            "pending": 1,
        }

    def test_waits_for_whoever_is_writing_payouts(self, acme_key: MerchantAPIKey, make_payout: MakePayout) -> None:
        """A change that no trigger has seen must have been committed before any day can be closed."""
        payout = make_payout(created_at=at(day_ago(1)))
        upgrading.migrate(BEFORE)

        with rolling.others() as other:
            with transaction.atomic():
                cancel_on_the_old_schema(payout)
                migrating = other(migrate)
                other(lambda: rolling.eventually(rolling.is_waiting_for_a_lock)).result()
                assert not migrating.done()
            migrating.result()

        rolling.close(day_ago(1))
        assert rolling.differences(day_ago(1)) == []
        assert [row.status for row in RollupCell.objects.all()] == ["canceled"]


def migrate() -> None:
    upgrading.migrate(upgrading.LATEST)
