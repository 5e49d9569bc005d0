"""Is this installation set up in a way that can pay out? Told at boot, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register

from payouts.providers import registry


@register(Tags.compatibility)
def check_live_provider(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Refuse a PAYOUTS_LIVE_PROVIDER that this version does not have."""
    del app_configs
    if settings.LIVE_PROVIDER == "sandbox":
        return [
            checks.Warning(
                "PAYOUTS_LIVE_PROVIDER is the sandbox: live payouts are reported as paid, and no money moves.",
                hint="Right for a rehearsal, and for nothing else.",
                id="payouts.W001",
            )
        ]
    if not settings.LIVE_PROVIDER or settings.LIVE_PROVIDER in registry.PROVIDERS:
        return []
    return [
        Error(
            f"PAYOUTS_LIVE_PROVIDER names {settings.LIVE_PROVIDER!r}, which is no provider of this version.",
            hint=f"Use one of: {', '.join(sorted(registry.PROVIDERS))}; or leave it empty to refuse live payouts.",
            id="payouts.E001",
        )
    ]
