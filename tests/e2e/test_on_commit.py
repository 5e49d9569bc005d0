"""A payout's message is sent after the commit of its request, and only then: `transaction.on_commit`, as planned."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis
from django.conf import settings
from django.db import transaction
from django.test import Client

from payouts.models import Payout
from tests.support import factories
from tests.support.doorbell import Doorbell
from tests.support.original_plan import BODY, FIELDS


@pytest.mark.django_db(transaction=True)
class TestOnCommit:
    @pytest.fixture
    def doorbell(self) -> Doorbell:
        return Doorbell(redis.Redis.from_url(settings.CELERY_BROKER_URL))

    def test_enqueues_after_the_commit_and_not_before(
        self, doorbell: Doorbell, make_payout: Callable[..., Payout]
    ) -> None:
        with transaction.atomic():
            make_payout(recipient_details=FIELDS["recipient_details"])
            before = doorbell.rung()

        assert (before, doorbell.rung()) == (0, 1)

    def test_enqueues_nothing_on_rollback(self, doorbell: Doorbell, make_payout: Callable[..., Payout]) -> None:
        with transaction.atomic():
            make_payout(recipient_details=FIELDS["recipient_details"])
            transaction.set_rollback(True)

        assert doorbell.rung() == 0
        assert Payout.objects.count() == 0

    def test_enqueues_for_the_request_once(self, doorbell: Doorbell, api: Client) -> None:
        answers = [factories.post_payout(api, BODY, key="first") for _ in range(2)]

        assert [answer.status_code for answer in answers] == [201, 201]
        assert doorbell.rung() == 1
