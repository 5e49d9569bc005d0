from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import Client

from payouts.engine import heartbeats, pauses
from payouts.models import Heartbeat, Payout, ProviderCallback, ProviderCircuit
from payouts.states import PayoutStatus
from tests.support import database, processes, rolling

READYZ = """
import django
django.setup()
from django.test import Client
for path in ("/livez", "/readyz"):
    response = Client(headers={"host": "localhost"}).get(path)
    print(response.status_code, response.content.decode())
"""


@pytest.mark.django_db
class TestLivez:
    def test_answers(self, client: Client) -> None:
        response = client.get("/livez")

        assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.django_db
class TestReadyz:
    def test_is_ok(self, client: Client) -> None:
        heartbeats.beat("sweeper:here:1")

        response = client.get("/readyz")

        assert response.status_code == 200
        assert response.json() == {"status": "ok", "checks": {"database": "ok", "broker": "ok", "sweeper": "ok"}}

    @pytest.mark.parametrize("age_seconds", [None, heartbeats.STALE_SECONDS + 1])
    def test_is_degraded_without_a_sweeper(self, client: Client, age_seconds: float | None) -> None:
        if age_seconds is not None:
            Heartbeat.objects.create(process="sweeper:here:1", beat_at=Now() - timedelta(seconds=age_seconds))

        response = client.get("/readyz")

        assert response.status_code == 200
        assert response.json() == {
            "status": "degraded",
            "checks": {"database": "ok", "broker": "ok", "sweeper": "degraded"},
        }

    def test_is_degraded_without_a_broker(self, client: Client, settings: Any) -> None:
        heartbeats.beat("sweeper:here:1")
        settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
        started = time.monotonic()

        response = client.get("/readyz")

        # An orchestrator that gets no answer within a second takes the process out of service.
        assert time.monotonic() - started < 0.9
        assert response.status_code == 200
        assert response.json() == {
            "status": "degraded",
            "checks": {"database": "ok", "broker": "degraded", "sweeper": "ok"},
        }

    def test_is_degraded_soon_with_a_silent_broker(self, client: Client, settings: Any) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as server:
            settings.CELERY_BROKER_URL = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
            started = time.monotonic()

            response = client.get("/readyz")

        assert response.json()["checks"]["broker"] == "degraded"
        assert time.monotonic() - started < 0.9

    def test_fails_without_the_database(self, tmp_path: Path) -> None:
        ended = processes.python(READYZ, tmp_path, DJANGO_SETTINGS_MODULE="config.settings")

        assert ended.stdout.splitlines() == [
            '200 {"status": "ok"}',
            '503 {"status": "failed", "checks": {"database": "failed", "broker": "degraded", "sweeper": "degraded"}}',
        ], ended.stderr

    def test_tells_no_password(self, client: Client, settings: Any, caplog: pytest.LogCaptureFixture) -> None:
        settings.CELERY_BROKER_URL = "redis://:hunter2@127.0.0.1:1/0"

        response = client.get("/readyz")

        assert b"hunter2" not in response.content
        assert "hunter2" not in str([record.__dict__ for record in caplog.records])


@pytest.mark.django_db
class TestMetrics:
    def test_tells_what_is_waiting(self, client: Client, make_payout: Callable[..., Payout]) -> None:
        for _ in range(2):
            make_payout()
        Payout.objects.update(due_at=Now() - timedelta(seconds=100))

        response = client.get("/metrics")

        lines = response.content.decode().splitlines()
        overdue = next(line for line in lines if line.startswith("payouts_overdue_seconds "))
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith("text/plain")
        assert "payouts_due 2.0" in lines
        assert 100 <= float(overdue.split()[1]) < 110

    def test_tells_how_far_the_roll_up_is_behind(self, client: Client, make_payout: Callable[..., Payout]) -> None:
        def figures() -> list[str]:
            lines = client.get("/metrics").content.decode().splitlines()
            return [line for line in lines if line.startswith("payouts_rollup")]

        assert figures() == ["payouts_rollup_marked 0.0"]
        make_payout(created_at=rolling.at(rolling.day_ago(3)))
        rolling.close(rolling.day_ago(3))
        make_payout(created_at=rolling.at(rolling.day_ago(3)))
        assert figures() == ["payouts_rollup_marked 1.0", "payouts_rollup_days_behind 2.0"]

    def test_is_zero_when_nothing_waits(self, client: Client) -> None:
        lines = client.get("/metrics").content.decode().splitlines()

        assert "payouts_due 0.0" in lines
        assert "payouts_overdue_seconds 0.0" in lines
        assert "payouts_held 0.0" in lines
        assert [line for line in lines if line.startswith(("payouts_sweeper_age", "payouts_circuit_open"))] == []

    def test_tells_what_is_held_apart(self, client: Client, make_payout: Callable[..., Payout]) -> None:
        """An alarm at what is overdue must not go off for what an operator has paused."""
        make_payout()
        pauses.pause(pauses.Scope(provider="sandbox"), actor="operator:test", reason="maintenance")
        Payout.objects.update(due_at=Now() - timedelta(seconds=100))

        lines = client.get("/metrics").content.decode().splitlines()

        assert {"payouts_due 0.0", "payouts_overdue_seconds 0.0", "payouts_held 1.0", "payouts_pauses 1.0"} <= {*lines}

    def test_tells_what_waits_for_a_person(self, client: Client, make_payout: Callable[..., Payout]) -> None:
        database.put_into(make_payout(), PayoutStatus.REQUIRES_ATTENTION)
        Payout.objects.filter(pk=make_payout().pk).update(contradicted_at=Now())
        ProviderCircuit.objects.create(
            provider="bank", failures_count=5, opened_at=Now(), retry_at=Now() + timedelta(seconds=60)
        )
        ProviderCallback.objects.create(provider="bank", event_id="1", body=b"{}")
        heartbeats.beat("sweeper:here:1")

        lines = client.get("/metrics").content.decode().splitlines()

        assert {
            "payouts_requires_attention 1.0",
            "payouts_contradicted 1.0",
            "payouts_unknown 0.0",
            "payouts_unknown_seconds 0.0",
            "payouts_submitted_late 0.0",
            "payouts_submitted_late_seconds 0.0",
            "payouts_callbacks_unexplained 0.0",
            "payouts_callbacks_unexplained_seconds 0.0",
            "payouts_callbacks_waiting 1.0",
            'payouts_circuit_open{provider="bank"} 1.0',
        } <= {*lines}
        age = next(line for line in lines if line.startswith("payouts_sweeper_age_seconds "))
        assert 0 <= float(age.split()[1]) < 10
