"""The HTTP edge of payouts."""
