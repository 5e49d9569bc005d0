"""What the API says in the end, in lists and sums: it must be what is in the database."""

from __future__ import annotations

import http.client
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from devstack.processes import ports
from tests.storm.ledger import Ledger, Violation
from tests.storm.observed import Listing, Payout

_LIST: Final = "/api/payouts/?page_size=200"
_SUMMARY: Final = "/api/payouts/summary/?group_by=status,currency"
_ANSWER_SECONDS: Final = 20.0


def read(port: int, keys: Mapping[str, str]) -> list[Listing]:
    """Read the lists and the sums of every merchant and mode, by its key. Raises OSError or HTTPException."""
    return [_listing(port, owner, key) for owner, key in keys.items()]


def _listing(port: int, owner: str, api_key: str) -> Listing:
    rows: list[tuple[str, str]] = []
    address: str | None = _LIST
    while address:
        page = _get(port, address, api_key)
        rows += [(row["id"], row["status"]) for row in page["results"]]
        address = page["next"]
    summary = _get(port, _SUMMARY, api_key)
    sums = {(row["status"], row["currency"]): (int(row["count"]), Decimal(row["amount"])) for row in summary["results"]}
    merchant, mode = owner.split("/")
    return Listing(merchant, mode, rows, sums)


def _get(port: int, address: str, api_key: str) -> Any:
    connection = http.client.HTTPConnection(ports.LOOPBACK, port, timeout=_ANSWER_SECONDS)
    try:
        # A link to the next page has the whole address.
        target = address[address.index("/api/") :]
        connection.request("GET", target, headers={"Authorization": f"Api-Key {api_key}"})
        response = connection.getresponse()
        answer = response.read()
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise http.client.HTTPException(f"{address}: {response.status} {answer.decode(errors='replace')}")
    return json.loads(answer)


def _lists_what_there_is(ledger: Ledger) -> Iterator[Violation]:
    for listing in ledger.observed.listings:
        owned = list(_listed(ledger, listing))
        there = Counter((payout.id, payout.status) for payout in owned)
        listed = Counter(listing.rows)
        if there != listed:
            yield Violation("list", listing.owner, f"lacks {list(there - listed)[:3]}, has {list(listed - there)[:3]}")
        sums = _sums(owned)
        if sums != listing.sums:
            yield Violation("summary", listing.owner, f"says {listing.sums}, and there is {sums}")


def _listed(ledger: Ledger, listing: Listing) -> Iterator[Payout]:
    for payout in ledger.observed.payouts:
        if (payout.merchant, payout.mode) == (listing.merchant, listing.mode) and not payout.is_deleted:
            yield payout


def _sums(payouts: list[Payout]) -> dict[tuple[str, str], tuple[int, Decimal]]:
    amounts: dict[tuple[str, str], list[Decimal]] = defaultdict(list)
    for payout in payouts:
        amounts[payout.status, payout.currency].append(payout.amount)
    return {key: (len(each), sum(each, Decimal(0))) for key, each in amounts.items()}


def _says_what_the_payouts_say(ledger: Ledger) -> Iterator[Violation]:
    yield from (Violation("roll-up", "all", what) for what in ledger.observed.rollup_complaints)


RULES: Final = (_lists_what_there_is, _says_what_the_payouts_say)
