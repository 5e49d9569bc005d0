"""Long work lets others work."""

from __future__ import annotations

import time
from collections.abc import Iterator

from rest import pacing


def burn(count: int) -> Iterator[int]:
    """Yield so many numbers, each after a little of the processor's time."""
    for number in range(count):
        ends_at = time.thread_time() + 0.0001
        while time.thread_time() < ends_at:
            pass
        yield number


def seconds_of(count: int) -> tuple[float, float]:
    """Return the time that so many items took, by the wall and of the processor."""
    wall, processor = time.perf_counter(), time.thread_time()
    assert list(pacing.paced(burn(count))) == list(range(count))
    return time.perf_counter() - wall, time.thread_time() - processor


def test_pauses_for_longer_than_it_works() -> None:
    wall, processor = seconds_of(4 * pacing.ITEMS)

    assert wall >= 2 * processor


def test_never_pauses_for_long() -> None:
    began = time.perf_counter()
    for _ in pacing.paced(burn(pacing.ITEMS)):
        pass

    # One pause, of 25 ms of work twice.
    assert time.perf_counter() - began >= pacing.PAUSE_SECONDS_MAX
