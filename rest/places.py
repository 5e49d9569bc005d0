"""Places for what occupies a thread of the web process for long: a share of its threads, and a number for each owner.

The rest of the threads stays for what is quick. The counts are of one process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from threading import Lock
from types import TracebackType
from typing import Self

from django.conf import settings


class AllTaken(Exception):
    """Others have all places."""


class OwnersTaken(Exception):
    """The owner has as many places as it may have."""


class Places:
    """So many at once: the process's threads divided by `divisor`, and `each` for one owner."""

    def __init__(self, *, divisor: int, each: int) -> None:
        self._divisor = divisor
        self._each = each
        self._lock = Lock()
        self._taken: Counter[Hashable] = Counter()

    def take(self, owner: Hashable) -> Place:
        """Take a place until it is left. Raises OwnersTaken or AllTaken."""
        with self._lock:
            if self._taken[owner] >= self._each:
                raise OwnersTaken
            if self._taken.total() >= max(1, settings.WEB_THREADS // self._divisor):
                raise AllTaken
            self._taken[owner] += 1
        return Place(self, owner)

    def free(self, owner: Hashable) -> None:
        """Free a place of the owner."""
        with self._lock:
            self._taken[owner] -= 1
            if not self._taken[owner]:
                del self._taken[owner]


class Place:
    """A place that is taken. It is left once, however often it is asked to be."""

    def __init__(self, places: Places, owner: Hashable) -> None:
        self._places: Places | None = places
        self._owner = owner

    def leave(self) -> None:
        """Free the place."""
        places, self._places = self._places, None
        if places is not None:
            places.free(self._owner)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leave()

    def __del__(self) -> None:
        # A response that is lost on its way is never closed.
        self.leave()


class PlacedBody:
    """A body that has a place until the server closes it."""

    def __init__(self, body: Iterable[bytes], place: Place) -> None:
        self._body = body
        self._place = place

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        """Close the body, and leave the place whatever happens."""
        with self._place:
            if (close := getattr(self._body, "close", None)) is not None:
                close()
