"""The recipient's fields that a provider needs. Checked when a payout is created or changed, so that it never fails
later for lack of them.
"""

from __future__ import annotations

from payouts import errors, recipient_details
from payouts.providers import registry
from payouts.recipient_details import RecipientDetails


def refuse_unusable(provider_name: str, recipient: RecipientDetails) -> None:
    """Raise RecipientNotStructured, which names the fields, if the provider cannot pay this recipient."""
    provider = registry.PROVIDERS.get(provider_name)
    required = () if provider is None else provider.capabilities.recipient_fields_required
    missing = recipient_details.missing(recipient, required)
    if missing:
        below = "" if isinstance(recipient, str) else f".{missing[0]}"
        raise errors.RecipientNotStructured(
            f"Send recipient_details as an object with {_listed(required)}: the provider of these payouts needs them.",
            field=f"recipient_details{below}",
        )


def _listed(names: tuple[str, ...]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
