"""A share of the threads, and a number for each owner."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import override_settings

from rest import places
from rest.places import PlacedBody, Places


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    with override_settings(WEB_THREADS=12):
        yield


def test_are_a_share_of_the_threads() -> None:
    made = Places(divisor=4, each=9)
    taken = [made.take(owner) for owner in "abc"]

    with pytest.raises(places.AllTaken):
        made.take("d")
    taken[0].leave()

    made.take("d").leave()


def test_are_so_many_for_an_owner() -> None:
    made = Places(divisor=1, each=2)
    taken = [made.take("a"), made.take("a")]

    with pytest.raises(places.OwnersTaken):
        made.take("a")
    made.take("b").leave()
    with taken[0]:
        pass

    made.take("a").leave()


def test_there_is_one_at_least() -> None:
    made = Places(divisor=13, each=2)

    with made.take("a"), pytest.raises(places.AllTaken):
        made.take("b")


def test_is_left_once() -> None:
    made = Places(divisor=12, each=2)
    place = made.take("a")
    place.leave()
    other = made.take("b")
    place.leave()

    with pytest.raises(places.AllTaken):
        made.take("c")
    other.leave()


def test_is_left_by_what_is_lost() -> None:
    made = Places(divisor=12, each=2)
    body: PlacedBody | None = PlacedBody([b""], made.take("a"))
    assert body is not None
    del body

    made.take("b").leave()


def test_is_left_by_a_body_that_cannot_be_closed() -> None:
    class Broken(list[bytes]):
        def close(self) -> None:
            raise ValueError("broken")

    made = Places(divisor=12, each=2)
    body = PlacedBody(Broken([b"a", b"b"]), made.take("a"))

    assert b"".join(body) == b"ab"
    with pytest.raises(ValueError, match="broken"):
        body.close()
    made.take("b").leave()
