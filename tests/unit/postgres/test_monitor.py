"""When the replica is in use, whatever a look at it shows, and however long that takes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from postgres.replica import monitor
from postgres.replica.monitor import Health, Monitor, Timing

WELL = Health(usable=True, lag_seconds=0.0)
LAGGING = Health(usable=False, reason="lagging", lag_seconds=40.0)
GONE = Health(usable=False, reason="unreachable", error="connection refused")
#: Enough for a thread on a busy machine.
PATIENCE = 10.0


class Server:
    """A replica that shows what the test says; `frozen` blocks each measurement."""

    def __init__(self, shown: Health) -> None:
        self.shown = shown
        self.looks = 0
        self._thawed = threading.Event()
        self._thawed.set()

    def measure(self) -> Health:
        self.looks += 1
        assert self._thawed.wait(PATIENCE)
        return self.shown

    @contextmanager
    def frozen(self) -> Iterator[None]:
        self._thawed.clear()
        try:
            yield
        finally:
            self._thawed.set()


#: Looks follow each other at once, what they show holds for 0.2 s, and no thread outlives its test for long.
HURRIED = Timing(interval_seconds=0.01, fresh_seconds=0.2, idle_seconds=0.3)


@pytest.fixture(autouse=True)
def _leave_no_thread() -> Iterator[None]:
    yield
    for thread in threading.enumerate():
        if thread.name == "replica-watch":
            thread.join(PATIENCE)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def events(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.message) for record in caplog.records if record.name == monitor.__name__]


class TestHealth:
    def test_is_unknown_at_first_and_nobody_waits(self) -> None:
        server = Server(WELL)

        with server.frozen():
            assert Monitor(server.measure, HURRIED).health() is monitor.UNKNOWN

    def test_is_waited_for_on_request(self) -> None:
        assert Monitor(Server(WELL).measure, HURRIED).health(patience_seconds=PATIENCE) == WELL

    def test_is_not_waited_for_in_vain(self) -> None:
        server = Server(WELL)

        with server.frozen():
            assert Monitor(server.measure, HURRIED).health(patience_seconds=0.05) is monitor.UNKNOWN

    @pytest.mark.parametrize("shown", [LAGGING, GONE])
    def test_follows_the_looks(self, shown: Health) -> None:
        server = Server(WELL)
        replica_monitor = Monitor(server.measure, HURRIED)
        assert replica_monitor.health(patience_seconds=PATIENCE) == WELL

        server.shown = shown
        wait_until(lambda: replica_monitor.health() == shown)
        server.shown = WELL
        wait_until(lambda: replica_monitor.health() == WELL)

    def test_is_gone_when_a_look_takes_too_long(self, caplog: pytest.LogCaptureFixture) -> None:
        server = Server(WELL)
        replica_monitor = Monitor(server.measure, HURRIED)
        assert replica_monitor.health(patience_seconds=PATIENCE).usable

        with server.frozen():
            wait_until(lambda: replica_monitor.health() is monitor.SILENT)
            assert replica_monitor.health().is_unreachable
        wait_until(lambda: replica_monitor.health() == WELL)

        assert [vars(record)["reason"] for record in caplog.records if record.message == "replica.left"] == ["silent"]

    @pytest.mark.parametrize(
        ("health", "gone"),
        [
            (WELL, False),
            (LAGGING, False),
            (GONE, True),
            (monitor.SILENT, True),
            (monitor.UNKNOWN, False),
        ],
    )
    def test_tells_whether_the_rest_of_an_answer_will_come(self, health: Health, *, gone: bool) -> None:
        assert health.is_unreachable is gone


class TestThread:
    def test_is_one_for_all_who_ask(self) -> None:
        replica_monitor = Monitor(Server(WELL).measure, HURRIED)
        before = threading.active_count()

        for _ in range(20):
            replica_monitor.health(patience_seconds=PATIENCE)

        assert threading.active_count() == before + 1

    def test_ends_when_nobody_asks_and_begins_anew(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, monitor.__name__)
        server = Server(WELL)
        replica_monitor = Monitor(server.measure, HURRIED)
        replica_monitor.health(patience_seconds=PATIENCE)
        wait_until(lambda: not [one for one in threading.enumerate() if one.name == "replica-watch"])
        looks = server.looks

        # What it knew is too old to be believed, and that is no news.
        with server.frozen():
            assert replica_monitor.health() is monitor.UNKNOWN
        assert replica_monitor.health(patience_seconds=PATIENCE) == WELL

        assert server.looks > looks
        assert events(caplog) == [("INFO", "replica.joined")]


class TestSuspect:
    def test_takes_it_out_of_use_until_the_next_look(self) -> None:
        server = Server(WELL)
        replica_monitor = Monitor(server.measure, Timing(interval_seconds=2 * PATIENCE, fresh_seconds=3 * PATIENCE))
        assert replica_monitor.health(patience_seconds=PATIENCE) == WELL

        with server.frozen():
            replica_monitor.mark_failed(OSError("server closed\nthe connection"))
            suspected = replica_monitor.health()

        assert suspected == Health(usable=False, reason="unreachable", error="server closed the connection")
        # At once, not after the interval.
        wait_until(lambda: replica_monitor.health() == WELL)
        replica_monitor.timing = Timing(idle_seconds=-1.0)
        replica_monitor.mark_failed(OSError("only to wake the thread, so that it ends"))


class TestLog:
    def test_has_a_line_for_each_change(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, monitor.__name__)
        server = Server(WELL)
        replica_monitor = Monitor(server.measure, HURRIED)
        replica_monitor.health(patience_seconds=PATIENCE)

        for shown in (LAGGING, GONE, LAGGING, WELL):
            server.shown = shown
            wait_until(lambda shown=shown: replica_monitor.health() == shown)  # type: ignore[misc]

        assert events(caplog) == [("INFO", "replica.joined"), ("WARNING", "replica.left"), ("INFO", "replica.joined")]
        left = vars(caplog.records[1])
        assert (left["reason"], left["lag_seconds"], left["error"]) == ("lagging", 40.0, "")

    def test_tells_of_one_that_was_never_there(self, caplog: pytest.LogCaptureFixture) -> None:
        Monitor(Server(GONE).measure, HURRIED).health(patience_seconds=PATIENCE)

        assert events(caplog) == [("WARNING", "replica.left")]
        assert vars(caplog.records[0])["error"] == "connection refused"
