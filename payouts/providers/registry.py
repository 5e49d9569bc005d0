"""All providers by their stored names. A name here is permanent: old payouts refer to it."""

from __future__ import annotations

from typing import Final

from payouts.providers.base import Provider
from payouts.providers.sandbox import SandboxProvider

PROVIDERS: Final[dict[str, Provider]] = {provider.name: provider for provider in (SandboxProvider(),)}


def get(name: str) -> Provider:
    """Return the provider. Raises KeyError if this version does not have it."""
    return PROVIDERS[name]
