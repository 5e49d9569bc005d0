from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox_bank import callbacks, scenarios, signatures
from sandbox_bank.bank import Bank, Configuration
from tests.integration.sandbox_bank.caller import CALLBACK_KEY, SECRET, TOKEN, Caller
from tests.integration.sandbox_bank.receiver import Receiver
from tests.integration.sandbox_bank.running import RunningBank

#: Short enough for a test, long enough to be seen.
TIMING = scenarios.Timing(settle=0.3, returned=0.3, slow=0.3)
BACKOFF = callbacks.Backoff(first_seconds=0.05, max_seconds=0.2)


@pytest.fixture
def make_bank(tmp_path: Path) -> Iterator[Callable[..., Caller]]:
    """Make banks in this process; the fields are those of its Configuration."""
    made: list[Bank] = []

    def make(**fields: Any) -> Caller:
        known = {
            "port": 0,
            "book": tmp_path / f"book-{len(made)}.sqlite3",
            "credentials": signatures.Credentials(token=TOKEN, secret=SECRET),
            "timing": TIMING,
            "backoff": BACKOFF,
        }
        made.append(Bank(Configuration(**{**known, **fields})))
        made[-1].start()
        return Caller(made[-1].port)

    yield make
    for bank in made:
        bank.stop()


@pytest.fixture
def bank(make_bank: Callable[..., Caller]) -> Caller:
    """A bank that tells nobody."""
    return make_bank()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def telling_bank(make_bank: Callable[..., Caller], receiver: Receiver) -> Caller:
    """A bank that tells the receiver."""
    return make_bank(callback_url=receiver.url, callback_key=CALLBACK_KEY)


@pytest.fixture
def running_bank(tmp_path: Path) -> Iterator[RunningBank]:
    running = RunningBank(tmp_path)
    yield running
    running.kill()
