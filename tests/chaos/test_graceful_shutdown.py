"""SIGTERM, as each deployment sends it: what is in hand is finished once, and what was not begun waits for the next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import redis
from django.conf import settings as django_settings
from django.db import connection

from devstack.processes import children, ports
from payouts.models import Payout
from payouts.states import PayoutStatus
from tests.chaos import crashing_servers
from tests.chaos.crashing_servers import wait_until
from tests.support import database
from tests.support.doorbell import Doorbell

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(180)]

# As docs/operations.md starts them, with as many tasks at a time as there are below.
WORKER = (
    *("-m", "celery", "--app", "config", "worker", "--queues", "payouts,callbacks,exports", "--concurrency", "2"),
    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
)
SWEEPER = ("manage.py", "sweep_payouts", "--interval-seconds", "0.5")

# The sandbox answers for this account after 3 s: time enough to be asked to stop meanwhile.
SLOW = "sandbox_slow"
# More than two tasks at a time begin before they stop, and more than a sweeper begins in the 10 s of a round.
PAYOUTS = 6

Story = tuple[list[str], list[tuple[int, str, str, str]]]
PAID_ONCE: Story = (["pending", "processing", "paid"], [(1, "send", "paid", "")])
NOT_BEGUN: Story = (["pending"], [])


class Process:
    """A worker or a sweeper beside the tests: on their database, and in a process group of its own."""

    def __init__(self, directory: Path, *command: str, broker_url: str) -> None:
        self.output_file = directory / f"{uuid.uuid4()}.output"
        with self.output_file.open("wb") as output:
            self._process = subprocess.Popen(
                [*crashing_servers._dies_with_us(), sys.executable, *command],
                env=environment(broker_url),
                cwd=children.CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self.output_file.read_text(encoding="utf-8", errors="replace")

    def terminate(self) -> int:
        """Ask it to stop, as systemd and Docker do, and return its exit code once it has ended by itself."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(crashing_servers.PATIENCE_SECONDS)

    def close(self) -> None:
        """Leave nothing behind, whatever a test did."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


#: Of each process, so that it is known how many are in hand.
ONE_CALL = {"PAYOUTS_WORKER_CALLS": "1"}


def environment(broker_url: str) -> dict[str, str]:
    """Our environment, which knows the database server, with the database of the tests."""
    return os.environ | {
        "POSTGRES_DB": str(connection.settings_dict["NAME"]),
        "CELERY_BROKER_URL": broker_url,
        **ONE_CALL,
    }


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    with ExitStack() as stack:

        def start_one(*command: str, broker_url: str) -> Process:
            return stack.enter_context(closing(Process(tmp_path, *command, broker_url=broker_url)))

        yield start_one


@pytest.fixture
def empty_broker() -> str:
    """The tests' own broker, without the rings of earlier tests."""
    Doorbell(redis.Redis.from_url(django_settings.CELERY_BROKER_URL))
    return str(django_settings.CELERY_BROKER_URL)


@pytest.fixture
def no_broker() -> str:
    return f"redis://{ports.LOOPBACK}:{ports.free()}/0"


def in_hand() -> set[uuid.UUID]:
    return set(Payout.objects.filter(status=PayoutStatus.PROCESSING).values_list("pk", flat=True))


def leases() -> int:
    return Payout.objects.filter(lease_token__isnull=False).count()


def story(payout: Payout) -> Story:
    """Return the statuses that the payout has gone through, and its attempts."""
    return database.statuses(payout), database.attempts(payout)


@pytest.mark.parametrize(
    ("command", "broker", "at_a_time"),
    # Without a broker a sweeper does the work itself.
    [(WORKER, "empty_broker", 2), (SWEEPER, "no_broker", 1)],
    ids=["worker", "sweeper"],
)
def test_finishes_what_it_has_in_hand(
    request: pytest.FixtureRequest,
    make_payout: Callable[..., Payout],
    start: Callable[..., Process],
    command: tuple[str, ...],
    broker: str,
    at_a_time: int,
) -> None:
    broker_url = request.getfixturevalue(broker)
    payouts = [make_payout(account=SLOW) for _ in range(PAYOUTS)]
    for payout in payouts:
        database.make_due(payout)
    first = start(*command, broker_url=broker_url)
    wait_until(lambda: len(in_hand()) == at_a_time, what=f"{at_a_time} are in hand (see {first.output_file})")
    begun = in_hand()

    exit_code = first.terminate()

    assert exit_code == 0, first.output
    finished = {payout.pk for payout in payouts if story(payout) == PAID_ONCE}
    left = [payout for payout in payouts if payout.pk not in finished]
    assert begun <= finished
    assert [story(payout) for payout in left] == [NOT_BEGUN] * len(left)
    assert (left != [], leases()) == (True, 0)

    second = start(*command, broker_url=broker_url)
    unpaid = Payout.objects.exclude(status=PayoutStatus.PAID)
    wait_until(lambda: not unpaid.exists(), what=f"every payout is paid (see {second.output_file})")

    assert second.terminate() == 0, second.output
    assert [story(payout) for payout in payouts] == [PAID_ONCE] * PAYOUTS
    assert leases() == 0
