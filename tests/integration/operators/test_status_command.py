"""payouts_status: everything that an operator needs on a bad day, from a terminal."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from accounts import services
from accounts.models import Merchant
from payouts.engine import backlog, heartbeats, pauses
from payouts.models import Heartbeat, LaneCircuit, Pause, Payout, ProviderCallback, ProviderCircuit
from payouts.states import PayoutStatus
from tests.integration.operators import commands
from tests.support import database

MakePayout = Callable[..., Payout]

QUIET = """\
Pauses
  none
Circuits
  all closed: every provider takes what it is sent
Sweeper
  NOT AT WORK: none was ever seen
Waits for the platform
  payouts that are due         0
  payouts held back            0
  callbacks                    0
Waits for you
  requires attention           0
  contradicted                 0
  unknown                      0
  submitted, and late          0
  callbacks, unexplained       0
"""


def status() -> str:
    done = commands.run("payouts_status")
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout


def section(title: str) -> list[str]:
    """Return the lines below a title."""
    found = re.search(rf"^{title}\n((?:  .*\n)+)", status(), re.MULTILINE)
    assert found
    return [line.strip() for line in found[1].splitlines()]


class TestPayoutsStatus:
    def test_is_short_on_a_quiet_day(self, db: None) -> None:
        assert status() == QUIET

    def test_tells_who_paused_what_and_why(self, acme: Merchant) -> None:
        # An earlier version took a reason of several lines.
        Pause.objects.create(actor="operator:ops", reason="looking\ninto \x1b[31mit")
        pauses.pause(pauses.Scope(merchant=acme), actor="operator:ops", reason="x")
        pauses.pause(pauses.Scope(provider="sandbox"), actor="operator:ops", reason="x")
        pauses.resume(pauses.Scope(provider="sandbox"), actor="operator:ops")

        shown = [re.sub(r"since [-\d]{10} [:\d]{8} UTC", "since then", line) for line in section("Pauses")]

        # On one line each, and nothing in it commands the terminal.
        assert shown == [
            "everything: since then by operator:ops: looking into ?[31mit",
            "merchant acme: since then by operator:ops: x",
        ]

    def test_lists_no_more_pauses_than_a_page_has_lines(self, db: None) -> None:
        Pause.objects.bulk_create(Pause(provider=f"bank {n}", reason="x", actor="x") for n in range(31))

        assert len(section("Pauses")) == 31
        assert section("Pauses")[-1] == "and more"

    def test_tells_which_providers_are_in_trouble(self, db: None) -> None:
        for provider, seconds in (("open_bank", 60), ("trial_bank", -60)):
            at = Now() + timedelta(seconds=seconds)
            ProviderCircuit.objects.create(provider=provider, failures_count=7, opened_at=Now(), retry_at=at)
        ProviderCircuit.objects.create(provider="failed_once", failures_count=1)

        shown = [re.sub(r"[-\d]{10} [:\d]{8} UTC", "then", line) for line in section("Circuits")]

        assert shown == [
            "open_bank: open since then, tried again at then",
            "trial_bank: open since then, tried with the next payout",
        ]

    def test_tells_a_merchants_own_failures_from_them(self, acme: Merchant) -> None:
        LaneCircuit.objects.create(
            provider="bank", mode="live", merchant=acme, opened_at=Now(), retry_at=Now() + timedelta(seconds=60)
        )

        shown = [re.sub(r"[-\d]{10} [:\d]{8} UTC", "then", line) for line in section("Circuits")]

        assert shown == [
            "all closed: every provider takes what it is sent",
            "bank, merchant acme (live): its own payouts fail since then, tried again at then",
        ]

    @pytest.mark.parametrize(
        ("seconds", "line"),
        [
            (1, "at work: last seen 1 s ago"),
            (600, "NOT AT WORK: last seen 10 min ago"),
            (10_000, "NOT AT WORK: last seen 2 h ago"),
            (3 * 86_400, "NOT AT WORK: last seen 3 days ago"),
        ],
    )
    def test_tells_whether_the_sweeper_is_at_work(self, db: None, seconds: int, line: str) -> None:
        heartbeats.beat("sweeper:host:1")
        Heartbeat.objects.update(beat_at=Now() - timedelta(seconds=seconds))

        assert section("Sweeper") == [line]

    def test_counts_what_waits(self, make_payout: MakePayout, acme: Merchant, globex: Merchant) -> None:
        globex_key, _ = services.issue_api_key(globex, name="test")
        stuck, contradicted, *_ = [make_payout() for _ in range(4)]
        database.put_into(stuck, PayoutStatus.REQUIRES_ATTENTION)
        database.put_into(contradicted, PayoutStatus.PAID)
        Payout.objects.filter(pk__in=[stuck.pk, contradicted.pk]).update(due_at=None)
        Payout.objects.filter(pk=contradicted.pk).update(contradicted_at=Now())
        database.make_due(make_payout(api_key=globex_key), seconds=7 * 3600)
        pauses.pause(pauses.Scope(merchant=acme), actor="operator:ops", reason="x")
        ProviderCallback.objects.create(provider="http_bank", event_id="1", body=b"{}")

        assert section("Waits for the platform") == [
            "payouts that are due         1  the oldest for 7 h",
            "payouts held back            2  by a pause or an open circuit",
            "callbacks                    1  not applied yet",
        ]
        assert section("Waits for you") == [
            "requires attention           1  find out whether money moved; resolve_payout",
            "contradicted                 1  compare with the statement; acknowledge_payout",
            "unknown                      0",
            "submitted, and late          0",
            "callbacks, unexplained       0",
        ]

    def test_tells_what_has_no_outcome_and_for_how_long(self, make_payout: MakePayout) -> None:
        unknown, late = (make_payout() for _ in range(2))
        database.put_into(unknown, PayoutStatus.UNKNOWN)
        database.put_into(late, PayoutStatus.SUBMITTED)
        Payout.objects.filter(pk=unknown.pk).update(first_sent_at=Now() - timedelta(minutes=5))
        Payout.objects.filter(pk=late.pk).update(first_sent_at=Now() - timedelta(hours=3))
        seen = Now() - timedelta(days=3)
        ProviderCallback.objects.create(
            provider="http_bank", event_id="1", body=b"", result="no_payout", applied_at=seen, alarmed_at=seen
        )

        assert section("Waits for you")[2:] == [
            "unknown                      1  the oldest for 5 min: ask the provider; ask_payout --all",
            "submitted, and late          1  the oldest for 3 h: the provider is late, or gone; ask_payout --all",
            "callbacks, unexplained       1  the oldest for 3 days: ask the provider; clear_callback",
        ]

    def test_stops_counting_in_time(self, make_payout: MakePayout, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(backlog, "COUNT_MAX", 2)
        for _ in range(3):
            make_payout()

        assert "      2+  the oldest for" in status()

    def test_changes_nothing(self, make_payout: MakePayout) -> None:
        make_payout()

        with CaptureQueriesContext(connection) as captured:
            status()

        assert [query["sql"] for query in captured if query["sql"].split()[0] not in {"SELECT", "WITH"}] == []
