"""The sweeper says that it is at work, in the database that it works on."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db.models import F
from django.db.models.functions import Now

from payouts.engine import heartbeats
from payouts.management.commands import sweep_payouts
from payouts.models import Heartbeat
from tests.support import racing


def turn_back(seconds: float) -> None:
    Heartbeat.objects.update(beat_at=F("beat_at") - timedelta(seconds=seconds))


@pytest.mark.django_db
class TestHeartbeats:
    def test_there_is_none_before_the_first(self) -> None:
        assert heartbeats.age_seconds() is None

    def test_a_beat_is_kept_once_for_each_process(self) -> None:
        heartbeats.beat("sweeper:a:1")
        turn_back(50)
        first = Heartbeat.objects.get().beat_at

        heartbeats.beat("sweeper:a:1")

        assert Heartbeat.objects.get().beat_at > first
        age = heartbeats.age_seconds()
        assert age is not None
        assert 0 <= age < 40

    def test_the_newest_counts(self) -> None:
        heartbeats.beat("sweeper:a:1")
        turn_back(50)
        heartbeats.beat("sweeper:b:2")
        turn_back(10)

        ages = [heartbeats.age_seconds(prefix) for prefix in ("", "sweeper:a:", "sweeper:b:", "sweeper:c:")]

        assert [age if age is None else round(age, -1) for age in ages] == [10, 60, 10, None]

    @pytest.mark.parametrize("host", ["ab", "_", "%", "a%"])
    def test_another_host_is_no_part_of_this_one(self, host: str) -> None:
        heartbeats.beat("sweeper:abc:1")

        assert heartbeats.age_seconds(f"sweeper:{host}:") is None

    def test_what_is_gone_is_forgotten_after_a_day(self) -> None:
        heartbeats.beat("sweeper:a:1")
        turn_back(24 * 3600 - 60)
        heartbeats.beat("sweeper:b:2")
        kept = set(Heartbeat.objects.values_list("process", flat=True))
        turn_back(120)

        heartbeats.beat("sweeper:c:3")

        assert kept == {"sweeper:a:1", "sweeper:b:2"}
        assert set(Heartbeat.objects.values_list("process", flat=True)) == {"sweeper:b:2", "sweeper:c:3"}

    def test_the_command_tells_by_its_exit_code_that_one_is_alive_here(self) -> None:
        heartbeats.beat(sweep_payouts.PROCESS)
        Heartbeat.objects.update(beat_at=Now() - timedelta(seconds=heartbeats.STALE_SECONDS - 20))

        call_command("sweep_payouts", "--is-alive")


@pytest.mark.django_db(transaction=True)
def test_beats_at_once_do_not_hinder_each_other() -> None:
    processes = ["sweeper:a:1", "sweeper:b:2"] * 4

    results = racing.run_together(*[lambda process=process: heartbeats.beat(process) for process in processes])

    assert results == [None] * 8
    assert Heartbeat.objects.count() == 2
