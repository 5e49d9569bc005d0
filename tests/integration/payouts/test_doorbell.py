"""A ring for each commit, none for a rollback, and no error whatever the broker does."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from django.db import transaction
from django.test import Client

from payouts import dispatch, tasks
from payouts.models import Payout
from tests.support import database, factories
from tests.support.doorbell import Doorbell

pytestmark = pytest.mark.django_db(transaction=True)

# What a web process may spend on a broker that is not well.
PATIENCE_SECONDS = 1.0


class TestRing:
    def test_rings_once_on_commit(self, doorbell: Doorbell, make_payout: Callable[..., Payout]) -> None:
        with transaction.atomic():
            make_payout()
            assert doorbell.rung() == 0

        assert doorbell.rung() == 1

    def test_does_not_ring_on_rollback(self, doorbell: Doorbell, make_payout: Callable[..., Payout]) -> None:
        with transaction.atomic():
            make_payout()
            transaction.set_rollback(True)

        assert doorbell.rung() == 0
        assert Payout.objects.count() == 0

    def test_rings_once_for_each_payout(self, doorbell: Doorbell, make_payout: Callable[..., Payout]) -> None:
        with transaction.atomic():
            for _ in range(3):
                make_payout()

        assert doorbell.rung() == 3

    def test_rings_for_a_request(self, doorbell: Doorbell, api: Client) -> None:
        response = factories.post_payout(api, key="k-1")

        assert response.status_code == 201
        assert doorbell.rung() == 1

    def test_does_not_ring_for_a_replay(self, doorbell: Doorbell, api: Client) -> None:
        factories.post_payout(api, key="k-1")

        factories.post_payout(api, key="k-1")

        assert doorbell.rung() == 1

    def test_does_not_ring_for_a_refusal(self, doorbell: Doorbell, api: Client) -> None:
        factories.post_payout(api, factories.payout_body(amount="0"))

        assert doorbell.rung() == 0

    def test_what_is_rung_for_is_done_by_the_task(self, make_payout: Callable[..., Payout]) -> None:
        payout = make_payout()

        tasks.process_payouts.apply(args=([str(payout.pk)],), throw=True)

        assert database.statuses(payout) == ["pending", "processing", "paid"]

    def test_a_message_of_the_previous_version_is_done_too(self, make_payout: Callable[..., Payout]) -> None:
        payout = make_payout()

        tasks.process_payout.apply(args=(str(payout.pk),), throw=True)

        assert database.statuses(payout) == ["pending", "processing", "paid"]


class TestWithoutBroker:
    @pytest.mark.parametrize("broker", ["dead_broker", "silent_broker"])
    def test_ringing_fails_quietly_and_soon(
        self, request: pytest.FixtureRequest, make_payout: Callable[..., Payout], broker: str
    ) -> None:
        payout = make_payout()
        request.getfixturevalue(broker)
        started = time.monotonic()

        heard = dispatch.send_payouts([payout.pk])

        assert heard is False
        assert time.monotonic() - started < PATIENCE_SECONDS

    @pytest.mark.parametrize("broker", ["dead_broker", "silent_broker"])
    def test_a_request_is_answered_all_the_same(
        self, request: pytest.FixtureRequest, api: Client, caplog: pytest.LogCaptureFixture, broker: str
    ) -> None:
        request.getfixturevalue(broker)
        started = time.monotonic()

        response = factories.post_payout(api, key="k-1")

        assert response.status_code == 201
        assert time.monotonic() - started < PATIENCE_SECONDS
        assert Payout.objects.get().status == "pending"
        assert dispatch.flush(seconds=5.0)
        assert caplog.messages.count("enqueue.failed") == 1

    def test_a_malformed_address_fails_quietly(
        self, make_payout: Callable[..., Payout], point_broker_to: Callable[[str], None]
    ) -> None:
        payout = make_payout()
        point_broker_to("nonsense://x")

        assert dispatch.send_payouts([payout.pk]) is False


class TestTask:
    def test_survives_a_restart_of_the_database_between_two_payouts(self, make_payout: Callable[..., Payout]) -> None:
        first, second = make_payout(), make_payout()
        tasks.process_payout(str(first.id))

        database.end_connection_of_this_thread()
        tasks.process_payout(str(second.id))

        second.refresh_from_db()
        assert second.status == "paid"
