"""How a replica is measured, and where its health is shown."""

from __future__ import annotations

import psycopg
import pytest
from django.db import connections
from django.test import Client

from payouts.engine import heartbeats
from postgres.replica import lag
from postgres.replica.monitor import Health
from tests.support.replica import GONE, Looks, Statements, wait_for


class TestLagProbe:
    def test_refuses_a_server_that_is_not_a_standby(self, looks: Looks) -> None:
        """Somebody has named a primary, or has promoted the standby: it would show the same for ever."""
        del looks

        assert lag.LagProbe().measure() == Health(usable=False, reason="not_a_replica")

    def test_tells_of_one_that_is_not_there(self, looks: Looks, monkeypatch: pytest.MonkeyPatch) -> None:
        del looks
        connections["replica"].close()
        monkeypatch.setitem(connections["replica"].settings_dict, "PORT", 1)

        health = lag.LagProbe().measure()

        assert (health.usable, health.reason, health.lag_seconds) == (False, "unreachable", None)
        assert "refused" in health.error

    def test_blames_no_replica_for_a_primary_that_is_away(self, looks: Looks, of_primary: Statements) -> None:
        del looks
        of_primary.fail_with = psycopg.OperationalError

        health = lag.LagProbe().measure()

        assert (health.usable, health.reason, health.is_unreachable) == (False, "unmeasured", False)


class TestHealth:
    def test_is_part_of_readyz(self, looks: Looks, client: Client) -> None:
        heartbeats.beat("sweeper:here:1")

        well = client.get("/readyz")
        wait_for(looks, Health(usable=False, reason="lagging", lag_seconds=31.5))
        lagging = client.get("/readyz")
        wait_for(looks, GONE)
        gone = client.get("/readyz")

        others = {"database": "ok", "broker": "ok", "sweeper": "ok"}
        assert [(answer.status_code, answer.json()) for answer in (well, lagging, gone)] == [
            (200, {"status": "ok", "checks": {**others, "replica": "ok"}, "replica_lag_seconds": 0.25}),
            (200, {"status": "degraded", "checks": {**others, "replica": "degraded"}, "replica_lag_seconds": 31.5}),
            (200, {"status": "degraded", "checks": {**others, "replica": "degraded"}, "replica_lag_seconds": None}),
        ]

    def test_is_part_of_the_metrics(self, looks: Looks, client: Client) -> None:
        well = self._figures(client)
        wait_for(looks, GONE)

        assert well == ["payouts_replica_in_use 1.0", "payouts_replica_lag_seconds 0.25"]
        assert self._figures(client) == ["payouts_replica_in_use 0.0"]

    @pytest.mark.django_db
    def test_is_no_metric_without_a_replica(self, client: Client) -> None:
        assert self._figures(client) == []

    def _figures(self, client: Client) -> list[str]:
        lines = client.get("/metrics").content.decode().splitlines()
        return [line for line in lines if line.startswith("payouts_replica")]
