"""The admin of payouts. Django looks for it here."""

from payouts.admin import actions, callbacks, exports, pauses, payouts, providers, summary

__all__ = ["actions", "callbacks", "exports", "pauses", "payouts", "providers", "summary"]
