"""From due to outcome: what happens to a payout outside of requests."""
