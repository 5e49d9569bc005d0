"""Refused callbacks are counted, and make a line in the log once a minute."""

from __future__ import annotations

import os
import threading

import pytest

from payouts.engine.refused_callbacks import RefusedCallbacks
from rest.tallies import Tally


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, int]]:
    """Return provider, reason and count of each line so far, and forget them."""
    records = [vars(record) for record in caplog.records if record.message == "callback.refused"]
    caplog.clear()
    return [(record["provider"], record["reason"], record["count"]) for record in records]


def test_the_first_is_logged_at_once_and_the_rest_together(caplog: pytest.LogCaptureFixture) -> None:
    refused = RefusedCallbacks()
    for reason in ("It is not signed.", "It is too old.", "It is not signed."):
        refused.record("bank", reason)
    refused.record("other", "It is too old.")

    assert lines(caplog) == [("bank", "It is not signed.", 1)]
    refused.end_minute()
    assert lines(caplog) == [("bank", "It is not signed.", 2), ("other", "It is too old.", 1)]
    refused.record("bank", "It is too old.")
    assert lines(caplog) == []
    refused.end_minute()
    assert lines(caplog) == [("bank", "It is too old.", 1)]
    assert refused.tally.total == 5


def test_a_quiet_minute_makes_no_line(caplog: pytest.LogCaptureFixture) -> None:
    refused = RefusedCallbacks()
    refused.record("bank", "It is too old.")
    lines(caplog)

    refused.end_minute()

    assert lines(caplog) == []
    refused.record("bank", "It is too old.")
    assert lines(caplog) == [("bank", "It is too old.", 1)]
    refused.end_minute()


def test_the_minute_ends_by_itself() -> None:
    class Watched(RefusedCallbacks):
        ended = threading.Event()

        def end_minute(self) -> None:
            super().end_minute()
            self.ended.set()

    refused = Watched(log_seconds=0.01)
    refused.record("bank", "It is too old.")

    assert refused.ended.wait(10)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_tally_is_shared_with_the_processes_that_are_forked() -> None:
    tally = Tally()
    tally.add()

    child = os.fork()
    if child == 0:
        tally.add()
        os._exit(0)
    os.waitpid(child, 0)

    assert tally.total == 2
