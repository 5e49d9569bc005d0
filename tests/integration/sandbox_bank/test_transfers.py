"""The contract where everything goes well, and what is refused."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.sandbox_bank.caller import BEARER, Caller, Received, body_of, terms_of


class TestPut:
    def test_pays_at_once(self, bank: Caller) -> None:
        answer = bank.put("one")

        transfer = answer.document
        assert answer.status == 201
        assert re.fullmatch(r"tr_[0-9a-f]{24}", transfer.pop("id"))
        assert transfer == {
            "reference": "one",
            "amount": "10.50",
            "currency": "EUR",
            "status": "paid",
            "final": True,
            "code": "",
            "message": "",
        }
        assert bank.entry("one") == ("paid", 1, 1)

    def test_executes_a_reference_once(self, bank: Caller) -> None:
        first = bank.put("one")

        again = bank.put("one")

        assert (again.status, again.document) == (200, first.document)
        assert bank.entry("one") == ("paid", 1, 2)
        assert bank.book()["executions"] == 1

    def test_takes_another_spelling_of_the_amount_for_the_same(self, bank: Caller) -> None:
        first = bank.put("one", amount="10.50")

        again = bank.put("one", amount="10.5")

        assert (again.status, again.document) == (200, first.document)

    @pytest.mark.parametrize(
        "other",
        [
            {"amount": "10.51"},
            {"currency": "USD"},
            {"recipient": {"name": "Jane Doe", "account": "other"}},
            {"recipient": {**terms_of()["recipient"], "country": "DE"}},
        ],
        ids=["amount", "currency", "account", "country"],
    )
    def test_refuses_other_terms(self, bank: Caller, other: dict[str, Any]) -> None:
        first = bank.put("one").document

        answer = bank.put("one", **other)

        assert answer.problem == (409, "reference_conflict")
        assert answer.document["transfer"] == first
        assert bank.get("one").document == first
        assert bank.entry("one") == ("paid", 1, 2)

    def test_takes_everything_that_a_recipient_may_have(self, bank: Caller) -> None:
        recipient = {
            "name": "Zoë Müller 名",
            "account": "DE89370400440532013000",
            "bank_code": "COBADEFFXXX",
            "country": "DE",
            "address": "Main Street 1",
        }

        assert bank.put("one", recipient=recipient).status == 201

    @pytest.mark.parametrize("amount", ["0.0001", "1", "999999999999.9999"])
    def test_takes_amounts_of_any_currency(self, bank: Caller, amount: str) -> None:
        assert bank.put("one", amount=amount).document["amount"] == amount

    def test_executes_once_for_many_at_the_same_time(self, bank: Caller) -> None:
        answers = _together(50, lambda: bank.put("one"))

        assert sorted(answer.status for answer in answers) == [200] * 49 + [201]
        assert {answer.document["id"] for answer in answers} == {bank.get("one").document["id"]}
        assert bank.entry("one") == ("paid", 1, 50)

    def test_takes_many_references_at_the_same_time(self, bank: Caller) -> None:
        numbers = iter(range(50))

        answers = _together(50, lambda: bank.put(f"reference-{next(numbers)}"))

        assert [answer.status for answer in answers] == [201] * 50
        assert bank.book()["executions"] == 50


class TestGet:
    def test_shows_the_transfer(self, bank: Caller) -> None:
        made = bank.put("one").document

        answer = bank.get("one")

        assert (answer.status, answer.document) == (200, made)
        assert bank.entry("one") == ("paid", 1, 1)

    def test_says_that_there_is_none(self, bank: Caller) -> None:
        assert bank.get("one").problem == (404, "transfer_not_found")
        assert bank.book()["transfers"] == []

    def test_says_another_thing_of_an_address_that_is_none(self, bank: Caller) -> None:
        # A wrong base URL must not look like a payment that was never made.
        for target in ("/v1", "/v1/", "/v1/transfer/one", "/v2/transfers/one", "/", "/transfers/one"):
            assert bank.call("GET", target, headers=BEARER).problem == (404, "no_such_address")


class TestConnection:
    def test_is_kept_for_the_next_request(self, bank: Caller) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", bank.port, timeout=5)
        sockets = []
        for number in range(3):
            connection.request("PUT", f"/v1/transfers/{number}", body_of(), BEARER)
            response = connection.getresponse()
            assert (response.status, json.loads(response.read())["status"]) == (201, "paid")
            sockets.append(connection.sock)
        connection.close()

        assert sockets[0] is not None
        assert sockets == [sockets[0]] * 3

    def test_serves_requests_that_were_sent_together(self, bank: Caller) -> None:
        request = b"GET /livez HTTP/1.1\r\nHost: bank\r\n\r\n"
        with socket.create_connection(("127.0.0.1", bank.port), timeout=5) as connection:
            connection.sendall(request * 3)
            connection.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))

        assert answer.count(b"HTTP/1.1 200 OK\r\n") == 3

    def test_says_that_it_is_alive(self, bank: Caller) -> None:
        answer = bank.call("GET", "/livez")

        assert (answer.status, answer.document) == (200, {"status": "ok"})
        assert answer.headers["Content-Type"] == "application/json"


def _together(count: int, call: Callable[[], Received]) -> list[Received]:
    """Call at the same time and return what each call returned."""
    barrier = threading.Barrier(count)
    answers: list[Received] = []

    def run() -> None:
        barrier.wait(10)
        answers.append(call())

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(answers) == count
    return answers
