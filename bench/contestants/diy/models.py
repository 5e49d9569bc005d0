from __future__ import annotations

from bench.contestants.payouts_by_the_book import AbstractPayout


class Payout(AbstractPayout):
    class Meta(AbstractPayout.Meta):
        app_label = "diy"
