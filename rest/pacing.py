"""Long work in Python, with pauses in which the other threads of the process have the interpreter for themselves."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

Item = TypeVar("Item")

#: Items between two pauses. What has fewer is not slowed down.
ITEMS: Final = 250
#: A pause, as a multiple of the processor's time before it. Two reports take two thirds of the interpreter at most.
PAUSE: Final = 2.0
#: Seconds. No pause is longer.
PAUSE_SECONDS_MAX: Final = 0.05


def paced(items: Iterable[Item]) -> Iterator[Item]:
    """Yield the items, with a pause after every ITEMS of them."""
    began = time.thread_time()
    for number, item in enumerate(items, start=1):
        yield item
        if number % ITEMS == 0:
            time.sleep(min(PAUSE * (time.thread_time() - began), PAUSE_SECONDS_MAX))
            began = time.thread_time()
