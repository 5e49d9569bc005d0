"""Figures for Prometheus. Read from the database when asked, so that they are the same in each web process.

Each query is answered from an index and stops at a bound: looking must never cost more than working.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.db import connection
from django.http import HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from payouts import reporting


class BacklogCollector(Collector):
    """How much is waiting and for how long: the two figures that tell whether payouts get out."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        backlog = reporting.backlog()
        due = GaugeMetricFamily("payouts_due", "Payouts with which something should have happened by now.")
        due.add_metric([], backlog["due"])
        overdue = GaugeMetricFamily("payouts_overdue_seconds", "Seconds for which the oldest of them has been due.")
        overdue.add_metric([], backlog["overdue_seconds"])
        yield from (due, overdue)


REGISTRY = CollectorRegistry()
REGISTRY.register(BacklogCollector())


def metrics(request: HttpRequest) -> HttpResponse:
    """Answer with all figures in the text format of Prometheus; 500 where the database cannot be asked."""
    del request
    connection.ensure_connection()
    return HttpResponse(generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)
