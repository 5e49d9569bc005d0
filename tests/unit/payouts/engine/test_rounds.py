from __future__ import annotations

import pytest
from django.conf import settings

from payouts.engine import rounds


class TestClaimSecondsFor:
    @pytest.mark.parametrize(("timeout_seconds", "seconds"), [(30, 5.0), (20, 5.0), (10, 2.5), (2, 0.5), (300, 5.0)])
    def test_table(self, timeout_seconds: int, seconds: float) -> None:
        assert rounds.claim_seconds_for(timeout_seconds) == seconds

    @pytest.mark.parametrize("timeout_seconds", [2, 3, 10, 18, 30, 300])
    def test_leaves_time_for_a_call_and_its_record(self, timeout_seconds: int) -> None:
        """A worker that Celery stops in the middle leaves its payouts to their leases."""
        soft_limit = timeout_seconds * settings.CELERY_TASK_SOFT_TIME_LIMIT / settings.PROVIDER_TIMEOUT_SECONDS

        assert rounds.claim_seconds_for(timeout_seconds) + timeout_seconds <= soft_limit - timeout_seconds / 4
