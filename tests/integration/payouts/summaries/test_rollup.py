"""The roll-up of past days: who leaves marks, who heeds them, and when a day is closed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models.functions import Now

from accounts import services as accounts_services
from accounts.models import Merchant, MerchantAPIKey
from payouts import services
from payouts.models import Payout, RollupCell, RollupMark, RollupState
from payouts.summaries import rollup
from payouts.summaries.rollup import Horizon
from tests.support import database, rolling
from tests.support.rolling import at, day_ago

MakePayout = Callable[..., Payout]

CELL = ("status", "currency", "provider", "count", "amount", "amount_min", "amount_max")


def marks() -> list[tuple[Any, str, date]]:
    return list(RollupMark.objects.order_by("id").values_list("merchant_id", "mode", "day"))


def cells(day: date) -> list[tuple[Any, ...]]:
    return list(RollupCell.objects.filter(day=day).order_by("status", "currency").values_list(*CELL))


def cell(status: str, *amounts: str) -> tuple[Any, ...]:
    numbers = [Decimal(amount) for amount in amounts]
    return (status, "EUR", "sandbox", len(numbers), sum(numbers), min(numbers), max(numbers))


def cancel(payout: Payout) -> None:
    services.cancel_payout(payout, actor="merchant:test")


@pytest.mark.django_db
class TestMarks:
    """Each is made by a trigger, in the transaction of what it is about."""

    @pytest.fixture
    def mark(self, acme: Merchant) -> tuple[Any, str, date]:
        return (acme.pk, "test", day_ago(1))

    def test_are_not_left_by_payouts_of_today(self, make_payout: MakePayout) -> None:
        cancel(make_payout())
        services.update_payout(make_payout(), amount=Decimal(1))
        services.delete_payout(make_payout(), actor="merchant:test")

        assert marks() == []

    def test_are_left_by_a_payout_that_comes_late(self, make_payout: MakePayout, mark: Any) -> None:
        make_payout(created_at=at(day_ago(0), 0) - timedelta(microseconds=1))
        make_payout(created_at=at(day_ago(0), 0))

        assert marks() == [mark]

    @pytest.mark.parametrize(
        ("changes", "is_marked"),
        [
            ({"status": "canceled"}, True),
            ({"amount": Decimal("10.51")}, True),
            ({"currency": "USD"}, True),
            ({"provider": "other"}, True),
            ({"deleted_at": Now()}, True),
            # Nothing that a cell is made of.
            ({"comment": "x", "metadata": {"a": "b"}, "reference": "x", "due_at": Now(), "version": 2}, False),
            ({"status": "pending", "amount": Decimal("10.5")}, False),
        ],
    )
    def test_are_left_by_changes_of_what_counts(
        self, make_payout: MakePayout, mark: Any, changes: dict[str, Any], *, is_marked: bool
    ) -> None:
        payout = make_payout(created_at=at(day_ago(1)))
        RollupMark.objects.all().delete()

        Payout.objects.filter(pk=payout.pk).update(**changes)

        assert marks() == ([mark] if is_marked else [])

    def test_are_left_on_both_days_by_a_payout_that_changes_its_day(self, make_payout: MakePayout, mark: Any) -> None:
        payout = make_payout(created_at=at(day_ago(1)))
        RollupMark.objects.all().delete()

        Payout.objects.filter(pk=payout.pk).update(created_at=at(day_ago(5)))

        assert marks() == [(*mark[:2], day_ago(5)), mark]

    def test_are_of_the_day_in_utc_whatever_the_session_thinks(self, make_payout: MakePayout, mark: Any) -> None:
        database.execute("SET LOCAL TIME ZONE 'Pacific/Kiritimati'")

        make_payout(created_at=at(day_ago(1), 23.99))
        make_payout(created_at=at(day_ago(0), 0))

        assert marks() == [mark]

    def test_are_undone_with_the_change(self, make_payout: MakePayout) -> None:
        with transaction.atomic():
            make_payout(created_at=at(day_ago(1)))
            assert len(marks()) == 1
            transaction.set_rollback(True)

        assert marks() == []


@pytest.mark.django_db
class TestClosing:
    def test_counts_and_sums_the_payouts_of_the_day(
        self, acme: Merchant, make_payout: MakePayout, make_processed_payout: MakePayout
    ) -> None:
        day = day_ago(2)
        make_payout(created_at=at(day, 0), amount=Decimal("0.10"))
        make_payout(created_at=at(day, 24) - timedelta(microseconds=1), amount=Decimal("0.20"))
        make_processed_payout(created_at=at(day), amount=Decimal("999999999999.99"))
        make_payout(created_at=at(day, 24), amount=Decimal("0.40"))

        rolling.close(day)

        assert cells(day) == [cell("paid", "999999999999.99"), cell("pending", "0.10", "0.20")]
        assert set(RollupCell.objects.values_list("merchant_id", "mode", "day")) == {(acme.pk, "test", day)}
        assert RollupState.objects.get().closed_before == day_ago(1)
        # Those that it saw are gone; the other day has one yet.
        assert {mark[2] for mark in marks()} == {day_ago(1)}

    def test_takes_all_merchants_and_modes(
        self, acme_key: MerchantAPIKey, globex: Merchant, make_payout: MakePayout, settings: Any
    ) -> None:
        settings.LIVE_PROVIDER = "sandbox"
        day = day_ago(1)
        globex_key, _ = accounts_services.issue_api_key(globex, name="test")
        live_key, _ = accounts_services.issue_api_key(globex, name="live", mode="live")
        for key, amount in ((acme_key, 1), (globex_key, 2), (live_key, 4)):
            make_payout(api_key=key, created_at=at(day), amount=Decimal(amount))

        rolling.close(day)

        found = {(row.merchant_id, row.mode): row.amount for row in RollupCell.objects.all()}
        expected = {(acme_key.merchant_id, "test"): 1, (globex.pk, "test"): 2, (globex.pk, "live"): 4}
        assert found == expected

    def test_leaves_deleted_payouts_out(self, make_payout: MakePayout) -> None:
        services.delete_payout(make_payout(created_at=at(day_ago(1))), actor="merchant:test")

        rolling.close(day_ago(1))

        assert RollupCell.objects.count() == 0
        assert RollupState.objects.get().closed_before == day_ago(0)

    def test_begins_with_the_day_of_the_first_payout(self, make_payout: MakePayout) -> None:
        make_payout(created_at=at(day_ago(2)))
        make_payout(created_at=at(day_ago(5)))
        horizon = Horizon(0, day_ago(1))

        assert [rollup.close_next_day(horizon) for _ in range(6)] == [
            day_ago(4),
            day_ago(3),
            day_ago(2),
            day_ago(1),
            day_ago(0),
            # There is nothing left to do.
            day_ago(0),
        ]

    @pytest.mark.parametrize("is_empty", [True, False])
    def test_closes_days_before_there_were_payouts(self, make_payout: MakePayout, *, is_empty: bool) -> None:
        if not is_empty:
            make_payout()

        assert rollup.close_next_day(Horizon(0, day_ago(1))) == day_ago(0)

        assert RollupCell.objects.count() == 0

    def test_can_find_cells_there_already(self, acme: Merchant, make_payout: MakePayout) -> None:
        """Somebody has restored a table, say."""
        day = day_ago(1)
        make_payout(created_at=at(day))
        sums = {"count": 9, "amount": 9, "amount_min": 9, "amount_max": 9}
        for status in ("pending", "paid"):
            key = {"merchant_id": acme.pk, "mode": "test", "status": status, "currency": "EUR", "provider": "sandbox"}
            RollupCell.objects.create(**key, day=day, **sums)

        rolling.close(day)

        assert cells(day) == [cell("pending", "10.50")]

    def test_is_told(self, make_payout: MakePayout, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        make_payout(created_at=at(day_ago(1)))

        rolling.close(day_ago(1))

        told: list[Any] = [record for record in caplog.records if record.message == "rollup.day.closed"]
        assert [(record.day, record.cells) for record in told] == [(day_ago(1).isoformat(), 1)]


@pytest.mark.django_db
class TestRefreshing:
    @pytest.fixture
    def payout(self, make_payout: MakePayout) -> Payout:
        """One of a closed day, in the company of another."""
        make_payout(created_at=at(day_ago(1)), amount=Decimal(1))
        payout = make_payout(created_at=at(day_ago(1)))
        rolling.close(day_ago(1))
        return payout

    def test_moves_a_payout_from_cell_to_cell(self, payout: Payout) -> None:
        cancel(payout)
        assert cells(day_ago(1)) == [cell("pending", "1", "10.50")]

        assert rollup.refresh_marked_days() == 1

        assert cells(day_ago(1)) == [cell("canceled", "10.50"), cell("pending", "1")]
        assert marks() == []

    def test_leaves_no_cell_of_nothing(self, payout: Payout) -> None:
        for each in Payout.objects.all():
            services.delete_payout(each, actor="merchant:test")

        rolling.refresh()

        assert cells(day_ago(1)) == []

    def test_makes_a_day_once_for_many_marks(self, payout: Payout, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        for amount in range(1, 6):
            services.update_payout(payout, amount=Decimal(amount))

        assert rollup.refresh_marked_days() == 5

        assert cells(day_ago(1)) == [cell("pending", "1", "5")]
        told: list[Any] = [record for record in caplog.records if record.message == "rollup.days.refreshed"]
        assert [record.days for record in told] == [1]

    def test_takes_the_oldest_first(self, payout: Payout, make_payout: MakePayout) -> None:
        for number in (9, 3, 7):
            make_payout(created_at=at(day_ago(number)))

        assert rollup.refresh_marked_days(limits=rollup.Limits(marks=2)) == 2

        assert [mark[2] for mark in marks()] == [day_ago(7)]
        assert [len(cells(day_ago(number))) for number in (9, 3, 7)] == [1, 1, 0]

    def test_is_not_stopped_by_a_day_that_the_database_refuses(
        self, payout: Payout, globex: Merchant, make_payout: MakePayout
    ) -> None:
        cancel(payout)
        make_payout(api_key=accounts_services.issue_api_key(globex, name="test")[0], created_at=at(day_ago(1)))
        assert {mark[0] for mark in marks()} == {payout.merchant_id, globex.pk}
        connection.check_constraints()
        # Undone with the test's transaction.
        database.execute(
            "ALTER TABLE payouts_rollupcell ADD CONSTRAINT no_poison "
            f"CHECK (merchant_id <> '{payout.merchant_id}') NOT VALID"
        )

        rollup.refresh_marked_days()

        assert {mark[0] for mark in marks()} == {payout.merchant_id}

    def test_leaves_marks_of_days_that_are_not_closed(self, make_payout: MakePayout) -> None:
        make_payout(created_at=at(day_ago(2)))
        rolling.close(day_ago(2))
        make_payout(created_at=at(day_ago(1)))

        assert rollup.refresh_marked_days() == 0

        assert [mark[2] for mark in marks()] == [day_ago(1)]

    def test_does_nothing_before_any_day_is_closed(self, make_payout: MakePayout) -> None:
        make_payout(created_at=at(day_ago(1)))

        assert rollup.refresh_marked_days() == 0

        assert len(marks()) == 1


@pytest.mark.django_db(transaction=True)
class TestMaintaining:
    def maintain_until_closed(self) -> None:
        horizon = None

        def is_closed() -> bool:
            nonlocal horizon
            horizon = rollup.maintain(horizon)
            return rollup.closed_before() is not None and horizon is None

        rolling.eventually(is_closed)

    def test_closes_all_days_that_are_over(self, acme_key: MerchantAPIKey, make_payout: MakePayout) -> None:
        make_payout(created_at=at(day_ago(4)))
        make_payout()

        self.maintain_until_closed()

        over_for_minutes = datetime.now(UTC) - timedelta(minutes=rollup.GRACE_MINUTES)
        assert rollup.closed_before() == over_for_minutes.date()
        assert [row.day for row in RollupCell.objects.all()] == [day_ago(4)]
        assert rolling.count(acme_key) == 2

    def test_ends_its_round_in_time(self, make_payout: MakePayout) -> None:
        make_payout(created_at=at(day_ago(9)))
        horizon: Horizon | None = replace(rollup.take_horizon(), transaction_id=0)

        before = []
        for _ in range(3):
            horizon = rollup.maintain(horizon, limits=rollup.Limits(round_seconds=0.0))
            before.append(rollup.closed_before())

        assert before == [day_ago(8), day_ago(7), day_ago(6)]
        assert horizon is not None

    def test_takes_a_new_horizon_for_days_that_it_does_not_reach(self, make_payout: MakePayout) -> None:
        make_payout(created_at=at(day_ago(4)))
        rolling.close(day_ago(4))

        # Yesterday's, say: its transactions have ended long ago, which says nothing of those of the days since.
        horizon = rollup.maintain(Horizon(0, day_ago(4)))

        assert horizon is None or horizon.transaction_id > 0
        rolling.eventually(lambda: rollup.maintain(None) is None)

    def test_does_nothing_while_another_one_is_at_work(self, make_payout: MakePayout) -> None:
        make_payout(created_at=at(day_ago(1)))
        rolling.close(day_ago(1))
        cancel(Payout.objects.get())
        horizon = Horizon(7, day_ago(1))

        with rolling.others() as other, transaction.atomic():
            database.execute("LOCK TABLE payouts_rollupstate IN SHARE UPDATE EXCLUSIVE MODE")
            returned = other(partial(rollup.maintain, horizon)).result()

        assert returned is horizon
        assert cells(day_ago(1)) == [cell("pending", "10.50")]
        assert len(marks()) == 1

    def test_is_a_step_of_the_sweeper(self, make_payout: MakePayout) -> None:
        make_payout(created_at=at(day_ago(1)))
        rolling.close(day_ago(1))
        cancel(Payout.objects.get())

        call_command("sweep_payouts", "--once")

        assert marks() == []
        assert cells(day_ago(1)) == [cell("canceled", "10.50")]


@pytest.mark.django_db
class TestLag:
    def test_is_none_before_there_is_a_roll_up(self, make_payout: MakePayout) -> None:
        make_payout(created_at=at(day_ago(1)))

        assert rollup.lag() == rollup.Lag(marks=1, days=None)

    def test_counts_days_and_marks(self, make_payout: MakePayout) -> None:
        for number in (5, 2, 1):
            make_payout(created_at=at(day_ago(number)))
        rolling.close(day_ago(4))

        assert rollup.lag() == rollup.Lag(marks=2, days=3)
        assert rollup.lag(limits=rollup.Limits(count_max=1)).marks == 1
