"""From due to outcome: what happens to a payout after its request, and never within one."""
