"""A bank for the fake provider that remembers each reference and pays it once."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

from payouts.providers import base


class OnceBank:
    """Give `send` and `ask` to FakeProvider.on_send and on_ask."""

    def __init__(self, name: str = "bank") -> None:
        self.name = name
        self.executions: Counter[str] = Counter()
        self._terms: dict[str, tuple[Decimal, str]] = {}

    def send(self, instruction: base.Instruction) -> base.Report:
        terms = (instruction.amount, instruction.currency)
        known = self._terms.setdefault(instruction.reference, terms)
        if known != terms:
            raise base.OutcomeUnknown(
                "reference_conflict",
                f"The bank has this reference with other terms: {known[0]:.2f} EUR at the bank, "
                f"{terms[0]:.2f} EUR here.",
                is_about_payout=True,
                is_for_operator=True,
            )
        if instruction.reference not in self.executions:
            self.executions[instruction.reference] += 1
        return self._report(instruction)

    def send_and_lose_the_answer(self, instruction: base.Instruction) -> base.Report:
        self.send(instruction)
        raise base.OutcomeUnknown("read_timeout", "No answer in time.")

    def ask(self, instruction: base.Instruction) -> base.Report:
        if instruction.reference not in self.executions:
            return base.Report(base.ReportKind.NOT_FOUND)
        return self._report(instruction)

    def _report(self, instruction: base.Instruction) -> base.Report:
        return base.Report(base.ReportKind.PAID, provider_reference=f"{self.name}-{instruction.reference}")
