"""Calls of the provider whose outcome is looked at, whatever it is."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from payouts.providers import base
from tests.unit.payouts.providers import banks
from tests.unit.payouts.providers.banks import INSTRUCTION


def call(
    kind: str, url: str, *, told: base.Instruction = INSTRUCTION, **options: Any
) -> base.Report | base.ProviderError:
    """Send or ask with a provider of its own; an error of the three kinds is an answer too."""
    with closing(banks.provider(url, **options)) as provider:
        try:
            return provider.send(told) if kind == "send" else provider.ask(told)
        except base.ProviderError as error:
            return error


def summary(answer: base.Report | base.ProviderError) -> str:
    return answer.kind.value if isinstance(answer, base.Report) else f"{type(answer).__name__}: {answer.code}"
