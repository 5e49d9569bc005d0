"""The controls: for tests, on the loopback interface, without a key."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.sandbox_bank.caller import Caller, eventually


class TestFaults:
    def test_are_none_at_first(self, bank: Caller) -> None:
        assert bank.call("GET", "/control/faults").document == {}

    def test_are_told_as_they_are_in_force(self, bank: Caller) -> None:
        faults = {"seed": 3, "answer_lost": 0.25, "slow": 1, "slow_seconds": 0.5, "settle_seconds": 0}

        assert bank.set_faults(**faults) == faults
        assert bank.call("GET", "/control/faults").document == faults

    def test_replace_those_before(self, bank: Caller) -> None:
        bank.set_faults(error_before=1)

        assert bank.set_faults(slow_seconds=1) == {"slow_seconds": 1}
        assert bank.set_faults() == {}
        assert bank.put("one").status == 201

    @pytest.mark.parametrize(
        "faults",
        [
            {"unknown": 1},
            {"answer_lost": 1.01},
            {"answer_lost": -0.01},
            {"answer_lost": "1"},
            {"answer_lost": True},
            {"answer_lost": None},
            {"down_seconds": -1},
            {"down_seconds": 3601},
            {"down_seconds": [1]},
            {"slow_seconds": "5"},
            {"settle_seconds": -1},
            {"seed": 1.5},
            {"seed": "1"},
            {"seed": True},
            {"seed": 2**64},
        ],
        ids=str,
    )
    def test_are_refused_when_they_are_none(self, bank: Caller, faults: dict[str, Any]) -> None:
        bank.set_faults(slow_seconds=0.1)

        # One that is right beside it is not put in force either.
        answer = bank.call("POST", "/control/faults", json.dumps({"error_before": 1, **faults}).encode())

        assert answer.problem == (400, "malformed_request")
        assert next(iter(faults)) in answer.document["message"]
        assert bank.call("GET", "/control/faults").document == {"slow_seconds": 0.1}
        assert bank.put("one").status == 201

    @pytest.mark.parametrize(
        "body", [b"", b"[]", b"{", b'{"slow": 1e999}', b'{"slow": NaN}', b'{"slow": 0, "slow": 1}']
    )
    def test_are_a_json_object(self, bank: Caller, body: bytes) -> None:
        assert bank.call("POST", "/control/faults", body).problem == (400, "malformed_request")
        assert bank.call("GET", "/control/faults").document == {}


class TestBook:
    def test_is_empty_at_first(self, bank: Caller) -> None:
        assert bank.book() == {
            "transfers": [],
            "refusals": [],
            "executions": 0,
            "callbacks": {"waiting": 0, "delivered": 0, "lost": 0},
        }

    def test_shows_everything(self, bank: Caller) -> None:
        bank.put("paid")
        bank.put("paid")
        bank.put("rejected", "bank_accepted_rejected")
        bank.put("refused", "bank_rejected_limit_exceeded")
        bank.put("busy", "bank_unavailable")
        eventually(lambda: bank.status("rejected"), "rejected")

        book = bank.book()

        names = ("reference", "amount", "currency", "status", "final", "code", "executions", "requests")
        assert [tuple(entry[name] for name in names) for entry in book["transfers"]] == [
            ("paid", "10.50", "EUR", "paid", True, "", 1, 2),
            ("rejected", "10.50", "EUR", "rejected", True, "account_closed", 0, 1),
        ]
        assert book["refusals"] == [{"reference": "refused", "code": "limit_exceeded", "requests": 1}]
        assert book["executions"] == 1
