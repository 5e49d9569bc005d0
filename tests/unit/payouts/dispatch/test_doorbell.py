from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence

import pytest

from payouts.dispatch.doorbell import Doorbell, Message

SECONDS = 5.0


class Broker:
    """Takes messages, or holds up the first ones until it is told to go on."""

    def __init__(self) -> None:
        self.taken: list[list[Message]] = []
        self.is_asked = threading.Event()
        self.goes_on = threading.Event()
        self.goes_on.set()

    def take(self, messages: Sequence[Message]) -> None:
        self.is_asked.set()
        assert self.goes_on.wait(SECONDS)
        self.taken.append(list(messages))


@pytest.fixture
def broker() -> Iterator[Broker]:
    made = Broker()
    yield made
    made.goes_on.set()


class TestRing:
    def test_sends_from_a_thread_of_its_own(self, broker: Broker) -> None:
        senders: list[str] = []
        doorbell = Doorbell(lambda _: senders.append(threading.current_thread().name))

        doorbell.ring("task", 1)

        assert doorbell.flush(seconds=SECONDS)
        assert senders == ["doorbell"]

    def test_starts_nothing_before_the_first_message(self, broker: Broker) -> None:
        before = threading.active_count()

        Doorbell(broker.take)

        assert threading.active_count() == before

    def test_sends_together_what_gathers_while_the_broker_is_slow(self, broker: Broker) -> None:
        doorbell = Doorbell(broker.take)
        broker.goes_on.clear()
        doorbell.ring("task", 1)
        assert broker.is_asked.wait(SECONDS)

        for number in (2, 3, 4):
            doorbell.ring("task", number)
        broker.goes_on.set()

        assert doorbell.flush(seconds=SECONDS)
        assert broker.taken == [[("task", 1)], [("task", 2), ("task", 3), ("task", 4)]]

    def test_drops_what_does_not_fit(self, broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
        doorbell = Doorbell(broker.take, waiting_max=2)
        broker.goes_on.clear()
        doorbell.ring("task", 1)
        assert broker.is_asked.wait(SECONDS)

        for number in (2, 3, 4):
            doorbell.ring("task", number)
        broker.goes_on.set()

        assert doorbell.flush(seconds=SECONDS)
        assert broker.taken == [[("task", 1)], [("task", 2), ("task", 3)]]
        assert caplog.messages == ["enqueue.dropped"]


class TestFlush:
    def test_tells_that_the_broker_takes_too_long(self, broker: Broker) -> None:
        doorbell = Doorbell(broker.take)
        broker.goes_on.clear()
        doorbell.ring("task", 1)

        assert doorbell.flush(seconds=0.05) is False

    def test_of_a_silent_doorbell_returns_at_once(self, broker: Broker) -> None:
        assert Doorbell(broker.take).flush(seconds=0.0) is True


class TestProcesses:
    def test_a_child_of_a_fork_sends_its_own_messages_alone(self) -> None:
        """Also if the parent's thread was sending, and its lock was taken, at the moment of the fork."""
        printed = _run(
            "broker = lambda messages: print(os.getpid() == parent, messages, flush=True)\n"
            "parent = os.getpid()\n"
            "doorbell = Doorbell(broker)\n"
            "doorbell.ring('task', 1)\n"
            "assert doorbell.flush(seconds=5.0)\n"
            "child = os.fork()\n"
            "if not child:\n"
            "    doorbell.ring('task', 2)\n"
            "    assert doorbell.flush(seconds=5.0)\n"
            "    os._exit(0)\n"
            "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
        )

        assert printed == ["True [('task', 1)]", "False [('task', 2)]"]

    def test_a_process_that_ends_sends_its_last_messages(self) -> None:
        printed = _run(
            "import time\n"
            "doorbell = Doorbell(lambda messages: (time.sleep(0.2), print(messages, flush=True)))\n"
            "doorbell.ring('task', 1)\n"
        )

        assert printed == ["[('task', 1)]"]

    def test_a_process_ends_soon_though_the_broker_is_frozen(self) -> None:
        printed = _run(
            "import time\n"
            "doorbell = Doorbell(lambda messages: time.sleep(60))\n"
            "doorbell.ring('task', 1)\n"
            "print('end', flush=True)\n"
        )

        assert printed == ["end"]


def _run(script: str) -> list[str]:
    """Run the script in a process of its own and return the lines that it printed."""
    start = "import os\nfrom payouts.dispatch.doorbell import Doorbell\n"
    finished = subprocess.run(
        [sys.executable, "-c", start + script],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"},
    )
    return finished.stdout.splitlines()
