from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from payouts.providers import base
from tests.integration.providers.small_bank import SmallBank, open_bank
from tests.integration.sandbox_bank import caller
from tests.integration.sandbox_bank.receiver import Receiver
from tests.integration.sandbox_bank.running import RunningBank
from tests.unit.payouts.providers import banks
from tests.unit.payouts.providers.contract import Callback, ProviderContract, World, instruction, new_reference


@pytest.fixture(params=["bearer_token", "signing_secret"])
def proof(request: pytest.FixtureRequest) -> str:
    """What the bank knows us by."""
    return str(request.param)


@pytest.fixture(scope="module")
def small_bank() -> Iterator[SmallBank]:
    with open_bank() as bank:
        yield bank


class TestWithASmallBank(ProviderContract):
    @pytest.fixture
    def world(self, small_bank: SmallBank, proof: str) -> Iterator[World]:
        secrets: dict[str, Any] = {"bearer_token": banks.TOKEN, "signing_secret": banks.SECRET}
        with closing(banks.provider(small_bank.url, **{proof: secrets[proof]})) as provider:
            yield World(
                provider,
                paid_account="DE89370400440532013000",
                rejected_account="small_rejected",
                unavailable_account="small_unavailable",
                unknown_account="small_lost",
                accepted_account="small_accepted",
                count_executions=small_bank.count_executions,
                make_callback=small_bank.make_callback,
            )

    def test_is_not_taken_for_somebody_else(self, small_bank: SmallBank) -> None:
        reference = new_reference()
        with closing(banks.provider(small_bank.url, bearer_token="another")) as stranger:
            for call in (stranger.send, stranger.ask):
                with pytest.raises(base.Unavailable) as refusal:
                    call(instruction("1", reference=reference))
                assert refusal.value.code == "unauthorized"

        assert small_bank.count_executions(reference) == 0


class SandboxBank(RunningBank):
    """The process and whom it tells."""

    receiver: Receiver

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.caller.port}/v1"

    def count_executions(self, reference: str) -> int:
        book = self.caller.call("GET", "/control/book").document
        return sum(transfer["executions"] for transfer in book["transfers"] if transfer["reference"] == reference)

    def wait_for_callback(self, reference: str) -> Callback:
        ends_at = time.monotonic() + 10
        while time.monotonic() < ends_at:
            for told in list(self.receiver.received):
                if told.transfer["reference"] == reference:
                    return told.headers, told.body
            time.sleep(0.02)
        raise AssertionError(f"no callback about {reference}")


@pytest.fixture(scope="module")
def sandbox_bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxBank]:
    bank = SandboxBank(tmp_path_factory.mktemp("bank"))
    with Receiver() as bank.receiver:
        try:
            bank.start("--callback-url", bank.receiver.url)
            yield bank
        finally:
            bank.kill()


class TestWithTheSandboxBank(ProviderContract):
    """A bank of another make, in a process of its own."""

    @pytest.fixture
    def world(self, sandbox_bank: SandboxBank, proof: str) -> Iterator[World]:
        secrets = {"bearer_token": caller.TOKEN, "signing_secret": caller.SECRET}
        options: dict[str, Any] = {proof: secrets[proof], "callback_secrets": (caller.CALLBACK_SECRET,)}
        with closing(banks.provider(sandbox_bank.url, **options)) as provider:
            yield World(
                provider,
                paid_account="DE89370400440532013000",
                rejected_account="bank_rejected_account_closed",
                unavailable_account="bank_unavailable",
                unknown_account="bank_answer_lost",
                accepted_account="bank_accepted",
                count_executions=sandbox_bank.count_executions,
                make_callback=sandbox_bank.wait_for_callback,
            )

    @pytest.mark.parametrize(
        ("account", "code"),
        [
            ("bank_answer_lost", "connection_lost"),
            ("bank_error", "http_500"),
            ("bank_truncated", "connection_lost"),
            ("bank_slow", "read_timeout"),
        ],
    )
    def test_does_not_know_what_was_not_answered_well(self, sandbox_bank: SandboxBank, account: str, code: str) -> None:
        told = instruction(account, reference=new_reference())
        with closing(banks.provider(sandbox_bank.url, bearer_token=caller.TOKEN, timeout_seconds=1.0)) as provider:
            with pytest.raises(base.OutcomeUnknown) as lost:
                provider.send(told)
            asked = provider.ask(told)

        assert lost.value.code == code
        assert asked.kind is base.ReportKind.PAID
        assert sandbox_bank.count_executions(told.reference) == 1

    def test_does_not_pay_on_other_terms(self, sandbox_bank: SandboxBank, world: World) -> None:
        told = instruction(world.paid_account, reference=new_reference())
        world.provider.send(told)

        for changes in ({"amount": Decimal("10.51")}, {"currency": "USD"}):
            other = replace(told, **changes)
            with pytest.raises(base.OutcomeUnknown) as conflict:
                world.provider.send(other)
            assert conflict.value.code == "reference_conflict"
            with pytest.raises(base.OutcomeUnknown) as mismatch:
                world.provider.ask(other)
            assert mismatch.value.code == "answer_mismatch"

        assert sandbox_bank.count_executions(told.reference) == 1
