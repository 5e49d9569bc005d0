"""The provider `http_bank` as the settings describe it."""

from __future__ import annotations

from django.conf import settings

from payouts.providers import base, registry
from payouts.providers.http_bank.provider import Configuration, HttpBankProvider


def configuration() -> Configuration | None:
    """Return the bank of the settings PAYOUTS_HTTP_BANK_..., or None. Raises ValueError that says what to set."""
    values = dict(settings.HTTP_BANK)
    promised = base.Capabilities(
        idempotency_window_seconds=values.pop("idempotency_window_seconds"),
        settle_time_seconds=values.pop("settle_time_seconds"),
        return_window_seconds=values.pop("return_window_seconds"),
        concurrency_max=values.pop("concurrency_max") or None,
        has_callbacks=bool(values["callback_secrets"]),
    )
    if not values["base_url"]:
        _refuse_leftovers(values)
        return None
    return Configuration(**values, capabilities=promised)


def _refuse_leftovers(values: dict[str, object]) -> None:
    """Refuse a secret without an address: the operator believes that there is a bank."""
    if any(values[name] for name in ("bearer_token", "signing_secret", "callback_secrets", "ca_file")):
        raise ValueError(
            "PAYOUTS_HTTP_BANK_URL is not set, and other settings of the bank are: set it, or none of them."
        )


def register() -> None:
    """Register the configured provider. A misconfigured one is left out; payouts/checks.py says why."""
    try:
        configured = configuration()
    except ValueError:
        return
    if configured is not None:
        registry.PROVIDERS[HttpBankProvider.name] = HttpBankProvider(configured)
