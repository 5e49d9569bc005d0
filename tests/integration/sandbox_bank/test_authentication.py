"""Which callers are served: those with the token or a signature."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sandbox_bank.signatures import Credentials
from tests.integration.sandbox_bank.caller import BEARER, SECRET, TOKEN, Caller, body_of, sign

TARGET = "/v1/transfers/one"
BODY = body_of()


def refused_put(bank: Caller, headers: dict[str, str]) -> bool:
    """Say whether this is refused, and nothing was done."""
    answer = bank.call("PUT", TARGET, BODY, headers)
    assert bank.book()["transfers"] == ([] if answer.status == 401 else [{**answer.document, **_COUNTS}])
    return answer.status == 401 and answer.problem == (401, "unauthorized")


_COUNTS = {"executions": 1, "requests": 1}


class TestToken:
    def test_is_taken(self, bank: Caller) -> None:
        assert bank.call("PUT", TARGET, BODY, BEARER).status == 201

    @pytest.mark.parametrize(
        "value",
        ["", "Bearer", "Bearer ", "Bearer x", f"Bearer {TOKEN}x", f"bearer {TOKEN}", TOKEN, "Basic YTpi", "Bearer ü"],
    )
    def test_is_refused_when_it_is_another(self, bank: Caller, value: str) -> None:
        assert refused_put(bank, {"Authorization": value})

    def test_of_nobody_is_refused(self, bank: Caller) -> None:
        assert refused_put(bank, {})
        assert bank.call("GET", TARGET).problem == (401, "unauthorized")
        assert bank.call("GET", "/v1/nothing").problem == (401, "unauthorized")

    def test_is_refused_by_a_bank_that_has_none(self, make_bank: Callable[..., Caller]) -> None:
        bank = make_bank(credentials=Credentials(secret=SECRET))

        assert refused_put(bank, BEARER)
        assert refused_put(bank, {"Authorization": "Bearer "})
        assert not refused_put(bank, sign("PUT", TARGET, BODY))


class TestSignature:
    def test_is_taken(self, bank: Caller) -> None:
        assert bank.call("PUT", TARGET, BODY, sign("PUT", TARGET, BODY)).status == 201
        assert bank.call("GET", TARGET, headers=sign("GET", TARGET)).status == 200

    def test_counts_the_query(self, bank: Caller) -> None:
        target = f"{TARGET}?trace=1"

        assert bank.call("PUT", target, BODY, sign("PUT", TARGET, BODY)).problem == (401, "unauthorized")
        assert bank.call("PUT", target, BODY, sign("PUT", target, BODY)).status == 201

    def test_counts_everything_else(self, bank: Caller) -> None:
        for headers in (
            sign("GET", TARGET, BODY),
            sign("PUT", "/v1/transfers/two", BODY),
            sign("PUT", TARGET, BODY + b" "),
            sign("PUT", TARGET),
            sign("PUT", TARGET, BODY, secret="another"),
            {**sign("PUT", TARGET, BODY), "Payouts-Timestamp": sign("PUT", TARGET, age_seconds=1)["Payouts-Timestamp"]},
        ):
            assert refused_put(bank, headers)

    @pytest.mark.parametrize("age_seconds", [290, -290])
    def test_may_be_a_little_old_or_early(self, bank: Caller, age_seconds: int) -> None:
        assert not refused_put(bank, sign("PUT", TARGET, BODY, age_seconds=age_seconds))

    @pytest.mark.parametrize("age_seconds", [310, -310, 86_400])
    def test_is_refused_when_it_is_old_or_early(self, bank: Caller, age_seconds: int) -> None:
        assert refused_put(bank, sign("PUT", TARGET, BODY, age_seconds=age_seconds))

    @pytest.mark.parametrize("timestamp", ["", "now", "-1", "1e9", "9" * 13, "\u0663"])
    def test_is_refused_without_a_time(self, bank: Caller, timestamp: str) -> None:
        assert refused_put(
            bank, {**sign("PUT", TARGET, BODY), "Payouts-Timestamp": timestamp.encode().decode("latin-1")}
        )

    def test_is_refused_in_another_form(self, bank: Caller) -> None:
        signed = sign("PUT", TARGET, BODY)
        signature = signed["Payouts-Signature"]
        for other in ("", "v1=", signature[3:], f"v2={signature[3:]}", signature.upper(), f"{signature},{signature}"):
            assert refused_put(bank, {**signed, "Payouts-Signature": other})

    def test_is_refused_by_a_bank_that_has_no_secret(self, make_bank: Callable[..., Caller]) -> None:
        bank = make_bank(credentials=Credentials(token=TOKEN))

        assert refused_put(bank, sign("PUT", TARGET, BODY))
        assert refused_put(bank, sign("PUT", TARGET, BODY, secret=""))
        assert not refused_put(bank, BEARER)
