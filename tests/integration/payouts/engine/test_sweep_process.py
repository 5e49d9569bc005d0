"""The sweeper as the process that it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection

from payouts.models import Payout
from tests.support import database

CHECKOUT = Path(__file__).resolve().parents[4]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_sweeps_until_it_is_stopped(
    dead_broker: None, make_payout: Callable[..., Payout], stop: signal.Signals
) -> None:
    payout = make_payout()
    database.make_due(payout)
    sweeper = subprocess.Popen(
        [sys.executable, "manage.py", "sweep_payouts", "--interval-seconds", "60"],
        cwd=CHECKOUT,
        # CELERY_BROKER_URL is that of the dead broker: it has to do the work itself.
        env=os.environ | {"POSTGRES_DB": connection.settings_dict["NAME"]},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 20
        while database.statuses(payout)[-1] != "paid" and time.monotonic() < deadline:
            time.sleep(0.05)
        paid = database.statuses(payout)

        sweeper.send_signal(stop)
        # Less than the interval: it does not sleep on.
        _, stderr = sweeper.communicate(timeout=30)
    finally:
        sweeper.kill()

    assert paid == ["pending", "processing", "paid"]
    assert sweeper.returncode == 0
    assert "Traceback" not in stderr
