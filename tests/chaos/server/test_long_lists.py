"""A list with filters as long as they may be is walked to its end: each link that we write can be called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from accounts.models import Merchant
from payouts.filters.selection import ORDERINGS
from payouts.models import Payout
from payouts.states import PayoutStatus
from rest.pagination import CURSOR_BYTES_MAX, REQUEST_LINE_BYTES_MAX
from tests.chaos.server.conftest import Answer
from tests.support import factories

pytestmark = pytest.mark.django_db(transaction=True)

PATH = "/api/payouts/"
#: What a link adds to the filters: method, path, size, cursor and version.
AROUND = len(f"GET {PATH}?&page_size=200&cursor= HTTP/1.1") + CURSOR_BYTES_MAX
FILTERS_BYTES_MAX = REQUEST_LINE_BYTES_MAX - AROUND
WORD = "\u00e9\u6771~'"


def long_filters(*, size: int) -> list[tuple[str, str]]:
    """Return filters of all kinds that have this size as a link writes them."""
    given = [
        ("search", "Zo\u00eb \u6771\u4eac " * 5),
        ("status", ",".join(PayoutStatus.values)),
        ("status", "pending"),
        ("created_after", "2020-01-31T12:00:00+01:00"),
        *((f"metadata[m\u00fc {number}]", WORD * 20) for number in range(10)),
        ("metadata[rest]", ""),
    ]
    missing = size - len(urlencode(given))
    assert missing > 0
    return [*given[:-1], ("metadata[rest]", "x" * missing)]


@pytest.fixture
def get(ask: Callable[[bytes], Answer], secret: str) -> Callable[[str], Answer]:
    """Send a request line as it is."""

    def get(target: str) -> Answer:
        line = f"GET {target} HTTP/1.1"
        assert len(line) <= REQUEST_LINE_BYTES_MAX
        return ask(f"{line}\r\nHost: 127.0.0.1\r\nAuthorization: Api-Key {secret}\r\n\r\n".encode())

    return get


def make_payouts(acme: Merchant, filters: list[tuple[str, str]], *, count: int) -> list[Payout]:
    """Make payouts that these filters select, and one that they do not."""
    metadata = {
        name.removeprefix("metadata[").removesuffix("]"): value
        for name, value in filters
        if name.startswith("metadata")
    }
    (search,) = (value for name, value in filters if name == "search")
    fields = {**factories.payout_fields(comment=search, metadata=metadata), "provider": "sandbox"}
    rows = [*[fields] * count, {**fields, "comment": ""}]
    return Payout.objects.bulk_create(Payout(merchant=acme, mode="test", **row) for row in rows)[:count]


def walk(get: Callable[[str], Answer], target: str | None, *, link: str) -> Iterator[dict[str, Any]]:
    while target is not None:
        answer = get(target)
        assert answer.status == 200, answer.body
        yield answer.document
        following = answer.document[link]
        target = following and following.removeprefix("http://127.0.0.1")


@pytest.mark.parametrize("ordering", ORDERINGS)
def test_is_walked_to_its_end_and_back(get: Callable[[str], Answer], acme: Merchant, ordering: str) -> None:
    order = ("ordering", ordering)
    filters = [*long_filters(size=FILTERS_BYTES_MAX - len(urlencode([order])) - 1), order]
    made = make_payouts(acme, filters, count=7)

    forwards = list(walk(get, f"{PATH}?page_size=2&{urlencode(filters)}", link="next"))
    (*_, last) = forwards
    backwards = list(walk(get, last["previous"].removeprefix("http://127.0.0.1"), link="previous"))

    assert [len(page["results"]) for page in forwards] == [2, 2, 2, 1]
    assert {row["id"] for page in forwards for row in page["results"]} == {str(payout.id) for payout in made}
    assert [len(page["results"]) for page in backwards] == [2, 2, 2]
    cursors = {page["next"].rpartition("cursor=")[2] for page in forwards[:-1]}
    assert max(len(cursor) for cursor in cursors) <= CURSOR_BYTES_MAX


def test_that_is_longer_is_refused_at_once(get: Callable[[str], Answer]) -> None:
    answer = get(f"{PATH}?{urlencode(long_filters(size=FILTERS_BYTES_MAX + 1))}")

    (error,) = answer.document["errors"]
    assert (answer.status, answer.document["code"]) == (400, "invalid_request")
    assert (error["field"], error["code"]) == ("query", "filters_too_long")
    assert error["message"] == (
        f"The filters have {FILTERS_BYTES_MAX + 1} bytes as a link writes them, and {FILTERS_BYTES_MAX} fit into one. "
        "Give fewer or shorter ones."
    )


def test_is_measured_as_a_link_writes_it(get: Callable[[str], Answer]) -> None:
    """A client need not encode what a link does encode: its own line may be far shorter."""
    written = ",".join(["paid"] * 1200)
    query = f"status={quote(written, safe=',')}"
    assert len(query) < FILTERS_BYTES_MAX < len(urlencode({"status": written}))

    answer = get(f"{PATH}?{query}")

    assert (answer.status, answer.document["errors"][0]["code"]) == (400, "filters_too_long")


@pytest.mark.parametrize("size", [4_094, 4_095, 8_000])
def test_takes_a_request_line_of_this_size(ask: Callable[[bytes], Answer], size: int) -> None:
    target = f"/api/nothing/{'x' * (size - len('GET /api/nothing/ HTTP/1.1'))}"
    line = f"GET {target} HTTP/1.1"
    assert len(line) == size

    answer = ask(f"{line}\r\nHost: 127.0.0.1\r\n\r\n".encode())

    assert (answer.status, answer.document["code"]) == (404, "not_found")
