"""Which payouts a request means."""
