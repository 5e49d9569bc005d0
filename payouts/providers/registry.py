"""Every provider by the name that payouts are stored with. A name here is for ever: old payouts refer to it."""

from __future__ import annotations

from typing import Final

from payouts.providers.base import Provider
from payouts.providers.sandbox import SandboxProvider

PROVIDERS: Final[dict[str, Provider]] = {provider.name: provider for provider in (SandboxProvider(),)}


def get(name: str) -> Provider:
    """Return the provider; KeyError for one that this version does not have."""
    return PROVIDERS[name]
