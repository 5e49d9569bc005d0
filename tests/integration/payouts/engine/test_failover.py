"""Another PostgreSQL server than before, as a promoted standby or a restored backup is."""

from __future__ import annotations

import logging

import pytest
from celery.signals import worker_init
from django.db import DatabaseError, OperationalError

from payouts import errors, tasks
from payouts.engine import failover, pauses, processing, sweep
from payouts.models import KnownServer, Pause, Payout
from postgres import incarnations
from tests.support import database
from tests.support.fake_provider import FakeProvider

pytestmark = pytest.mark.django_db

EVERYTHING = pauses.Scope()


@pytest.fixture
def present() -> incarnations.Incarnation:
    read = incarnations.read()
    assert read is not None
    return read


@pytest.fixture
def failed_over(present: incarnations.Incarnation) -> None:
    """The server of before was on an earlier timeline."""
    failover.check()
    KnownServer.objects.update(timeline=present.timeline + 41)


def known() -> tuple[str, int]:
    return KnownServer.objects.values_list("system_identifier", "timeline").get()


class TestFirstCheck:
    def test_remembers_the_server(self, present: incarnations.Incarnation) -> None:
        assert failover.check() is False

        assert known() == present
        assert present.timeline >= 1
        assert not Pause.objects.exists()


class TestCheck:
    def test_finds_the_same_server(self) -> None:
        assert [failover.check() for _ in range(3)] == [False] * 3

        assert not Pause.objects.exists()

    @pytest.mark.parametrize("change", [{"timeline": 41}, {"system_identifier": "1"}], ids=["promoted", "restored"])
    def test_pauses_everything_on_another_server(
        self, present: incarnations.Incarnation, change: dict[str, object], caplog: pytest.LogCaptureFixture
    ) -> None:
        failover.check()
        KnownServer.objects.update(**change)

        assert failover.check() is True

        begun = Pause.objects.get()
        assert (begun.scope, begun.actor, begun.ended_at) == ("everything", "failover", None)
        assert begun.reason == "failover: compare with the bank, then resume"
        assert known() == present
        assert "failover.found" in [line.getMessage() for line in caplog.records if line.levelno == logging.ERROR]

    @pytest.mark.usefixtures("failed_over")
    def test_pauses_once(self) -> None:
        failover.check()
        pauses.resume(EVERYTHING, actor="operator:ada")

        assert failover.check() is False

        assert not Pause.objects.active().exists()

    @pytest.mark.usefixtures("failed_over")
    def test_takes_the_place_of_a_pause_that_may_be_resumed_for_its_own_reason(self) -> None:
        pauses.pause(EVERYTHING, actor="operator:ada", reason="maintenance of the bank")

        failover.check()

        rows = Pause.objects.order_by("id").values_list("reason", "ended_by")
        assert list(rows) == [("maintenance of the bank", "failover"), (failover.REASON, "")]

    @pytest.mark.usefixtures("failed_over")
    def test_tries_again_when_the_pause_could_not_begin(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise errors.PauseNotBegun

        with monkeypatch.context() as patch:
            patch.setattr(pauses, "pause", refuse)
            with pytest.raises(OperationalError):
                failover.check()

        assert failover.check() is True
        assert Pause.objects.active().count() == 1

    def test_of_a_worker_that_starts_is_no_reason_not_to(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail() -> None:
            raise DatabaseError("permission denied")

        monkeypatch.setattr(incarnations, "read", fail)

        failover.check_at_start()


class TestWorker:
    def test_checks_before_its_first_task(self) -> None:
        receivers = [reference() for _, reference, *_ in worker_init.receivers]

        assert tasks._look_for_failover in receivers


class TestSweeper:
    @pytest.mark.usefixtures("failed_over")
    def test_sends_nothing(self, provider: FakeProvider, live_payout: Payout) -> None:
        database.make_due(live_payout)

        sweep.sweep()
        processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert (live_payout.status, provider.calls) == ("pending", [])

    @pytest.mark.usefixtures("failed_over")
    def test_goes_on_when_an_operator_has_compared(self, provider: FakeProvider, live_payout: Payout) -> None:
        sweep.sweep()

        pauses.resume(EVERYTHING, actor="operator:ada")
        processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert live_payout.status == "paid"
