"""The admin of payouts. Django looks for it here."""

from payouts.admin import actions, exports, pauses, payouts, providers, summary

__all__ = ["actions", "exports", "pauses", "payouts", "providers", "summary"]
