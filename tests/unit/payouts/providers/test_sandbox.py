from __future__ import annotations

import time
from dataclasses import replace

import pytest

from payouts.providers import base, registry, sandbox
from payouts.providers.base import ReportKind
from tests.unit.payouts.providers.contract import ProviderContract, World, instruction

provider = sandbox.SandboxProvider()


class TestContract(ProviderContract):
    @pytest.fixture
    def world(self) -> World:
        return World(
            provider,
            paid_account="sandbox_paid",
            rejected_account="sandbox_rejected_account_closed",
            unavailable_account="sandbox_unavailable_1",
            unknown_account="sandbox_unknown",
            accepted_account="sandbox_accepted",
            # Each answer follows from the account.
            has_memory=False,
        )

    def test_is_registered_under_its_name(self) -> None:
        assert type(registry.get("sandbox")) is sandbox.SandboxProvider


class TestTokens:
    # Whatever is no token is paid, so that real account numbers can be tried.
    @pytest.mark.parametrize(
        "account",
        [
            "sandbox_paid",
            "DE89370400440532013000",
            "sandbox_rejected_no_such_code",
            "sandbox_unavailable_0",
            "sandbox_unavailable_10",
            "SANDBOX_UNKNOWN",
            "sandbox_unknown ",
            "x sandbox_rejected_account_closed",
        ],
    )
    def test_paid(self, account: str) -> None:
        assert provider.send(instruction(account)) == base.Report(ReportKind.PAID, "sandbox-ref-1", is_final=True)

    @pytest.mark.parametrize(("code", "message"), sandbox.REJECTIONS.items())
    def test_rejected_with_each_code(self, code: str, message: str) -> None:
        for call in (provider.send, provider.ask):
            with pytest.raises(base.Rejected) as refusal:
                call(instruction(f"sandbox_rejected_{code}"))
            assert (refusal.value.code, refusal.value.message) == (code, message)

    def test_accepted_first_and_final_later(self) -> None:
        sent = provider.send(instruction("sandbox_accepted"))
        asked = [
            provider.ask(instruction("sandbox_accepted", age_seconds=age)).kind
            for age in (0.0, sandbox.FINAL_AFTER_SECONDS - 0.001, sandbox.FINAL_AFTER_SECONDS, 1000.0)
        ]

        assert sent.kind is ReportKind.ACCEPTED
        assert asked == [ReportKind.ACCEPTED, ReportKind.ACCEPTED, ReportKind.PAID, ReportKind.PAID]

    @pytest.mark.parametrize("times", range(1, 10))
    def test_unavailable_as_often_as_asked_for(self, times: int) -> None:
        account = f"sandbox_unavailable_{times}"
        for attempt in range(1, times + 1):
            with pytest.raises(base.Unavailable):
                provider.send(instruction(account, attempt=attempt))

        assert provider.send(instruction(account, attempt=times + 1)).kind is ReportKind.PAID

    def test_unknown_then_found_paid(self) -> None:
        with pytest.raises(base.OutcomeUnknown):
            provider.send(instruction("sandbox_unknown"))

        assert provider.ask(instruction("sandbox_unknown", attempt=2)).kind is ReportKind.PAID

    def test_slow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sandbox, "SLOW_SECONDS", 0.05)
        started_at = time.monotonic()

        report = provider.send(instruction("sandbox_slow"))

        assert report.kind is ReportKind.PAID
        assert time.monotonic() - started_at >= 0.05

    def test_returned_later(self) -> None:
        sent = provider.send(instruction("sandbox_returned"))
        early = provider.ask(instruction("sandbox_returned", age_seconds=sandbox.RETURNED_AFTER_SECONDS - 0.001))
        late = provider.ask(instruction("sandbox_returned", age_seconds=sandbox.RETURNED_AFTER_SECONDS))

        # Not final: it is worth asking again.
        assert sent == early == base.Report(ReportKind.PAID, "sandbox-ref-1", is_final=False)
        assert (late.kind, late.provider_reference) == (ReportKind.RETURNED, "sandbox-ref-1")
        assert (late.code, late.message) == ("account_closed", "The recipient's account is closed.")

    @pytest.mark.parametrize("recipient", ["sandbox_returned", " sandbox_returned\u00a0"])
    def test_takes_a_text_for_the_account(self, recipient: str) -> None:
        told = replace(instruction(""), recipient_details=recipient, age_seconds=sandbox.RETURNED_AFTER_SECONDS)

        assert provider.ask(told).kind is ReportKind.RETURNED

    @pytest.mark.parametrize("recipient", ["Card ****1234", "to sandbox_returned", "sandbox_returned_", ""])
    def test_pays_any_other_text(self, recipient: str) -> None:
        told = replace(instruction(""), recipient_details=recipient)

        assert provider.send(told) == base.Report(ReportKind.PAID, "sandbox-ref-1", is_final=True)

    def test_keeps_within_the_return_window(self) -> None:
        assert provider.capabilities.return_window_seconds > sandbox.RETURNED_AFTER_SECONDS
        assert provider.capabilities.settle_time_seconds > sandbox.FINAL_AFTER_SECONDS
