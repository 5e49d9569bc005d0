from __future__ import annotations

from decimal import Decimal
from itertools import islice

from payouts import money
from tests.storm import orders
from tests.storm.orders import Order, Then


def first(number: int, *, seed: int = 1, client: int = 1) -> list[Order]:
    return list(islice(orders.of_client(seed=seed, client=client, pause_seconds=0.2), number))


class TestOfClient:
    def test_is_the_same_for_the_same_seed_and_client(self) -> None:
        assert first(50) == first(50)

    def test_differs_by_seed_and_by_client(self) -> None:
        bodies = [[order.body for order in ordered] for ordered in (first(50), first(50, seed=2), first(50, client=2))]

        assert len({str(ordered) for ordered in bodies}) == 3

    def test_uses_each_key_once(self) -> None:
        keys = [order.key for client in (1, 2) for seed in (1, 2) for order in first(50, seed=seed, client=client)]

        assert len(set(keys)) == len(keys)

    def test_has_all_that_there_is_to_ask(self) -> None:
        asked = first(1000)

        assert {order.then for order in asked} == set(Then)
        assert {order.merchants for order in asked} == {
            ("acme",),
            ("globex",),
            ("acme", "globex"),
            ("globex", "acme"),
        }
        assert {order.twice_at_once for order in asked} == {False, True}
        assert {order.body["recipient_details"]["account"] for order in asked} == {
            *orders._ACCOUNTS,
            *orders._TEST_ACCOUNTS,
        }
        assert {
            (order.mode, order.body["recipient_details"]["account"] in orders._TEST_ACCOUNTS) for order in asked
        } == {
            ("live", False),
            ("test", True),
        }

    def test_asks_for_amounts_that_fit_their_currency(self) -> None:
        for order in first(1000):
            assert money.fits(Decimal(order.body["amount"]), order.body["currency"])
            assert money.fits(Decimal(order.other_amount), order.body["currency"])
            assert Decimal(order.other_amount) == 2 * Decimal(order.body["amount"])


class TestOfWhale:
    def test_is_many_plain_payouts_of_one_merchant(self) -> None:
        wanted = list(orders.of_whale(seed=1))

        assert len({order.key for order in wanted}) == len(wanted) == orders.WHALE_PAYOUTS
        assert {(order.merchants, order.mode, order.then) for order in wanted} == {
            ((orders.WHALE,), "live", Then.NOTHING)
        }
        assert {order.body["recipient_details"]["account"] for order in wanted} == {"DE89370400440532013000"}
