"""rebuild_rollup and verify_rollup: make the roll-up anew, and tell whether that is needed."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from accounts.models import Merchant, MerchantAPIKey
from payouts import services
from payouts.management.commands import rebuild_rollup, verify_rollup
from payouts.models import Payout, RollupCell, RollupMark
from payouts.summaries import rollup
from tests.integration.operators import commands
from tests.support import rolling
from tests.support.rolling import at, day_ago

MakePayout = Callable[..., Payout]

COMMANDS = ("rebuild_rollup", "verify_rollup")


def verify(*arguments: str) -> commands.Finished:
    return commands.run("verify_rollup", *arguments)


@pytest.fixture
def three_days(make_payout: MakePayout) -> None:
    """Payouts of the third, second and last day of those that are over. All are closed."""
    for number in (3, 2, 1):
        make_payout(created_at=at(day_ago(number)), amount=Decimal(number))
    rolling.close(day_ago(1))


@pytest.mark.django_db
class TestVerify:
    def test_is_content_with_nothing(self) -> None:
        done = verify()

        assert done == commands.Finished(0, "The roll-up says what the payouts say, on 0 closed days.\n", "")

    def test_is_content_with_what_the_sweeper_keeps(self, three_days: None) -> None:
        done = verify()

        assert done == commands.Finished(0, "The roll-up says what the payouts say, on 3 closed days.\n", "")

    def test_knows_that_what_is_marked_is_out_of_date(self, three_days: None) -> None:
        for payout in Payout.objects.all():
            services.cancel_payout(payout, actor="merchant:test")

        assert verify().exit_code == 0

    def test_tells_each_difference(self, acme: Merchant, three_days: None) -> None:
        RollupCell.objects.filter(day=day_ago(3)).delete()
        RollupCell.objects.filter(day=day_ago(2)).update(count=7, amount_max=Decimal("2.5"))
        key = {"merchant_id": acme.pk, "mode": "live", "status": "paid", "currency": "JPY", "provider": "a\x1b[31mbank"}
        RollupCell.objects.create(**key, day=day_ago(1), count=2, amount=30, amount_min=10, amount_max=20)

        done = verify()

        third, second, last = (f"{day_ago(number)}" for number in (3, 2, 1))
        assert done.exit_code == 1
        assert done.stdout.splitlines() == [
            (
                f"Merchant {acme.pk}, test, {third}, pending, EUR, sandbox: the roll-up says nothing, "
                "the payouts say 1 payouts, 3.00 in all, 3.00 to 3.00."
            ),
            (
                f"Merchant {acme.pk}, test, {second}, pending, EUR, sandbox: the roll-up says 7 payouts, 2.00 in all, "
                "2.00 to 2.50, the payouts say 1 payouts, 2.00 in all, 2.00 to 2.00."
            ),
            (
                f"Merchant {acme.pk}, live, {last}, paid, JPY, a?[31mbank: the roll-up says 2 payouts, 30 in all, "
                "10 to 20, the payouts say nothing."
            ),
        ]
        assert f"on {third}, {second}, {last}. Run `manage.py rebuild_rollup --from {third} --to {last}`" in done.stderr

    def test_tells_no_more_than_a_page(self, three_days: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(verify_rollup, "_SHOWN_MAX", 2)
        RollupCell.objects.update(count=7)

        done = verify()

        assert done.exit_code == 1
        assert [line.split(", ")[2:3] for line in done.stdout.splitlines()] == [
            [f"{day_ago(3)}"],
            [f"{day_ago(2)}"],
            [],
        ]
        assert done.stdout.endswith("\nAnd more.\n")

    def test_looks_at_the_days_asked_for(self, three_days: None) -> None:
        RollupCell.objects.update(count=7)

        done = verify(f"--from={day_ago(2)}", f"--to={day_ago(2)}")

        assert done.exit_code == 1
        assert f"on {day_ago(2)}. Run" in done.stderr

    def test_changes_nothing(self, three_days: None) -> None:
        RollupCell.objects.update(count=7)

        verify()

        assert set(RollupCell.objects.values_list("count", flat=True)) == {7}


@pytest.mark.django_db(transaction=True)
class TestRebuild:
    def test_mends_what_verify_found(self, acme: Merchant, three_days: None) -> None:
        RollupCell.objects.filter(day=day_ago(3)).delete()
        RollupCell.objects.filter(day=day_ago(2)).update(amount=1)
        key = {"merchant_id": acme.pk, "mode": "live", "status": "paid", "currency": "JPY", "provider": "sandbox"}
        RollupCell.objects.create(**key, day=day_ago(1), count=2, amount=30, amount_min=10, amount_max=20)
        assert verify().exit_code == 1

        done = commands.run("rebuild_rollup")

        assert done.exit_code == 0
        assert [line.split(": ")[0] for line in done.stderr.splitlines()[:3]] == [
            f"{day_ago(number)}" for number in (3, 2, 1)
        ]
        assert done.stderr.splitlines()[-1].startswith("3 days were made again. All days before ")
        assert verify().exit_code == 0

    def test_heeds_marks(self, acme_key: MerchantAPIKey, three_days: None) -> None:
        for payout in Payout.objects.all():
            services.cancel_payout(payout, actor="merchant:test")
        assert RollupMark.objects.count() == 3

        commands.run("rebuild_rollup", f"--to={day_ago(2)}")

        assert [mark.day for mark in RollupMark.objects.all()] == [day_ago(1)]
        assert set(RollupCell.objects.values_list("day", "status")) == {
            (day_ago(3), "canceled"),
            (day_ago(2), "canceled"),
            (day_ago(1), "pending"),
        }
        assert [row["status"] for row in rolling.summary(acme_key)["results"]] == ["canceled"]

    def test_closes_what_the_sweeper_has_not_come_to(self, make_payout: MakePayout) -> None:
        for number in (4, 3):
            make_payout(created_at=at(day_ago(number)))

        done = commands.run("rebuild_rollup", f"--to={day_ago(3)}")

        assert done == commands.Finished(
            0,
            "",
            f"All days before {day_ago(3)} are closed.\nAll days before {day_ago(2)} are closed.\n"
            f"0 days were made again. All days before {day_ago(2)} are closed.",
        )
        assert rollup.closed_before() == day_ago(2)
        assert verify().exit_code == 0

    def test_gives_up_on_a_transaction_that_does_not_end(
        self, make_payout: MakePayout, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rebuild_rollup, "_PATIENCE_SECONDS", 0.3)
        make_payout(created_at=at(day_ago(4)))

        with rolling.others() as other, transaction.atomic():
            make_payout()
            done = other(lambda: commands.run("rebuild_rollup")).result()

        assert done.exit_code == 1
        assert done.stderr.startswith("A transaction that was under way when the last day ended has not ended for 0 s")
        assert rollup.closed_before() is None


@pytest.mark.parametrize("command", COMMANDS)
class TestArguments:
    @pytest.mark.parametrize(
        "text", ["yesterday", "2026-02-30", "20260228", "2026-W09-1", "2026-2-3", "", "+999-01-01"]
    )
    def test_are_days(self, command: str, text: str) -> None:
        with pytest.raises(CommandError, match=r"argument --from: .* is no day"):
            call_command(command, f"--from={text}")

    @pytest.mark.parametrize("arguments", [("--from=9999-12-31",), ("--to=0001-01-01",)])
    def test_may_leave_nothing_to_do(self, db: None, command: str, arguments: tuple[str, ...]) -> None:
        assert commands.run(command, *arguments).exit_code == 0


def test_days_end_with_the_calendar(db: None, three_days: None) -> None:
    assert "on 3 closed days" in verify("--from=0001-01-01", "--to=9999-12-31").stdout
