from __future__ import annotations

import pytest
from django.db import OperationalError, connection

from payouts.models import Payout
from postgres import plans


class TestForTheseValues:
    def test_prepares_nothing_meanwhile_and_goes_on_afterwards(self, db: None) -> None:
        before = connection.connection.prepare_threshold

        with plans.unprepared("default"):
            for _ in range(10):
                list(Payout.objects.filter(currency="EUR"))
            prepared = self.prepared()

        assert (prepared, connection.connection.prepare_threshold) == (0, before)

    def test_tells_that_it_took_too_long(self, db: None) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 20")
            with pytest.raises(plans.StatementTimedOut), plans.unprepared("default"):
                cursor.execute("SELECT pg_sleep(5)")

    def test_lets_other_failures_through(self, db: None) -> None:
        with pytest.raises(OperationalError, match="nothing of the kind"), plans.unprepared("default"):
            raise OperationalError("nothing of the kind")

    def prepared(self) -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%payouts_payout%'")
            return int(cursor.fetchone()[0])
