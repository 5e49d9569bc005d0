"""What every provider promises, as tests. A provider's test class inherits these and says how to reach each case.

Each case is the recipient's account with which the provider is known to behave so; None where it cannot be made to.
"""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

import pytest

from payouts.models import Payout
from payouts.providers import base, registry


def instruction(
    account: str, *, attempt: int = 1, age_seconds: float = 0.0, reference: str = "ref-1"
) -> base.Instruction:
    return base.Instruction(
        reference=reference,
        amount=Decimal("10.50"),
        currency="EUR",
        recipient_details={"name": "Jane Doe", "account": account},
        attempt=attempt,
        age_seconds=age_seconds,
    )


class ProviderContract:
    provider: ClassVar[base.Provider]
    paid_account: ClassVar[str]
    rejected_account: ClassVar[str | None] = None
    unavailable_account: ClassVar[str | None] = None
    unknown_account: ClassVar[str | None] = None

    def test_is_registered_under_its_name(self) -> None:
        assert type(registry.get(self.provider.name)) is type(self.provider)
        column = Payout._meta.get_field("provider")
        assert 1 <= len(self.provider.name) <= (column.max_length or 0)

    def test_says_what_may_be_relied_on(self) -> None:
        capabilities = self.provider.capabilities

        assert capabilities.idempotency_window_seconds >= 0
        assert capabilities.settle_time_seconds > 0
        assert capabilities.return_window_seconds >= 0

    def test_pays(self) -> None:
        report = self.provider.send(instruction(self.paid_account))

        assert report.kind in {base.ReportKind.PAID, base.ReportKind.ACCEPTED}
        assert report.provider_reference
        # What was only accepted has yet to be settled.
        assert not (report.is_final and report.kind is base.ReportKind.ACCEPTED)

    def test_gives_each_payout_a_reference_of_its_own(self) -> None:
        first, second = [
            self.provider.send(instruction(self.paid_account, reference=reference)) for reference in ("ref-1", "ref-2")
        ]

        assert first.provider_reference != second.provider_reference

    # What makes a second send after an unknown outcome safe.
    def test_answers_a_second_send_like_the_first(self) -> None:
        if not self.provider.capabilities.idempotency_window_seconds:
            pytest.skip("This provider must not be sent to twice.")
        first = self.provider.send(instruction(self.paid_account))
        second = self.provider.send(instruction(self.paid_account, attempt=2, age_seconds=30.0))

        assert second.provider_reference == first.provider_reference

    def test_tells_later_what_became_of_it(self) -> None:
        sent = self.provider.send(instruction(self.paid_account))
        asked = self.provider.ask(instruction(self.paid_account, attempt=2, age_seconds=30.0))

        assert asked.kind is base.ReportKind.PAID
        assert asked.provider_reference == sent.provider_reference

    def test_rejects_with_a_code_and_a_sentence(self) -> None:
        if self.rejected_account is None:
            pytest.skip("This provider has no recipient that it always refuses.")
        with pytest.raises(base.Rejected) as refusal:
            self.provider.send(instruction(self.rejected_account))

        assert refusal.value.code.islower()
        assert refusal.value.message.endswith(".")

    def test_says_that_nothing_was_sent(self) -> None:
        if self.unavailable_account is None:
            pytest.skip("This provider cannot be made unavailable.")
        with pytest.raises(base.Unavailable) as refusal:
            self.provider.send(instruction(self.unavailable_account))

        assert refusal.value.code

    def test_says_that_the_outcome_is_unknown(self) -> None:
        if self.unknown_account is None:
            pytest.skip("This provider cannot be made to break off.")
        with pytest.raises(base.OutcomeUnknown) as refusal:
            self.provider.send(instruction(self.unknown_account))

        assert refusal.value.code
