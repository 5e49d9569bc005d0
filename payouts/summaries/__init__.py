"""Sums of payouts, and the roll-up behind them."""
