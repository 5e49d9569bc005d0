"""Figures for Prometheus. Read from the database when asked, so that they are the same in each web process.

Each query is answered from an index and stops at a bound, backlog.COUNT_MAX: looking must never cost more than working.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.db import connection
from django.http import HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from payouts.engine import backlog, heartbeats, refused_callbacks
from payouts.summaries import rollup
from postgres.replica import routing

# A process that has just begun has not looked at its replica yet.
REPLICA_PATIENCE_SECONDS = 1.0


class BacklogCollector(Collector):
    """What waits for the platform, and for how long: the figures that tell whether payouts get out."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        counts = backlog.backlog()
        yield _gauge("payouts_due", "Payouts with which something should have happened by now.", counts["due"])
        yield _gauge(
            "payouts_overdue_seconds", "Seconds for which the oldest of them has been due.", counts["overdue_seconds"]
        )
        yield _gauge("payouts_held", "Payouts held back by a pause or an open circuit.", counts["held"])
        yield _gauge(
            "payouts_callbacks_waiting", "Callbacks of providers that are not applied yet.", counts["callbacks"]
        )
        age_seconds = heartbeats.age_seconds()
        # No figure at all where there never was a sweeper: an alert on its absence is what that asks for.
        if age_seconds is not None:
            yield _gauge("payouts_sweeper_age_seconds", "Seconds since a sweeper was last at work.", age_seconds)


class AlarmsCollector(Collector):
    """What waits for a person."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        alarms = backlog.alarms()
        yield _gauge(
            "payouts_requires_attention",
            "Payouts of which it is not known whether their money moved.",
            alarms["requires_attention"],
        )
        yield _gauge(
            "payouts_contradicted",
            "Payouts whose provider says something that contradicts their status.",
            alarms["contradicted"],
        )
        yield from _unfinished(alarms)
        yield _gauge("payouts_pauses", "Pauses that are in force.", alarms["pauses"])
        circuits = GaugeMetricFamily(
            "payouts_circuit_open", "1 while the provider is left alone or tried with one payout.", labels=["provider"]
        )
        for provider, is_open in sorted(alarms["circuits"].items()):
            circuits.add_metric([provider], is_open)
        yield circuits
        lanes = GaugeMetricFamily(
            "payouts_lanes_held", "Merchants left alone at the provider for failures of their own.", labels=["provider"]
        )
        for provider, count in sorted(alarms["lanes_held"].items()):
            lanes.add_metric([provider], count)
        yield lanes


def _unfinished(alarms: backlog.Alarms) -> Iterator[GaugeMetricFamily]:
    yield _gauge("payouts_unknown", "Payouts that may have been sent; the provider is asked.", alarms["unknown"])
    yield _gauge("payouts_unknown_seconds", "Seconds since the oldest of them was sent.", alarms["unknown_seconds"])
    yield _gauge(
        "payouts_submitted_late",
        "Payouts whose provider should have named the outcome by now.",
        alarms["submitted_late"],
    )
    yield _gauge(
        "payouts_submitted_late_seconds", "Seconds since the oldest of them was sent.", alarms["submitted_late_seconds"]
    )
    yield _gauge(
        "payouts_callbacks_unexplained",
        "Callbacks about money that no payout explains, or that cannot be read.",
        alarms["callbacks_unexplained"],
    )
    yield _gauge(
        "payouts_callbacks_unexplained_seconds",
        "Seconds since the oldest of them was applied.",
        alarms["callbacks_unexplained_seconds"],
    )


class RollupCollector(Collector):
    """How far the roll-up of past days is behind. Summaries are exact all the same, and slower."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        lag = rollup.lag()
        yield _gauge("payouts_rollup_marked", "Changes of past days that the roll-up has not heeded yet.", lag.marks)
        # No figure at all before the sweeper's first round.
        if lag.days is not None:
            yield _gauge("payouts_rollup_days_behind", "Days that are over and not in the roll-up.", lag.days)


class ReplicaCollector(Collector):
    """Whether lists, sums and exports come from the replica, and how old they may be; nothing where there is none."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        if not routing.is_configured():
            return
        health = routing.health(patience_seconds=REPLICA_PATIENCE_SECONDS)
        yield _gauge("payouts_replica_in_use", "1 while lists, sums and exports come from the replica.", health.usable)
        # No figure while it is unknown.
        if health.lag_seconds is not None:
            yield _gauge("payouts_replica_lag_seconds", "What the replica shows is at most so old.", health.lag_seconds)


class RefusalsCollector(Collector):
    """What strangers have sent. Counted in memory: a stranger must not make the platform write."""

    def collect(self) -> Iterator[CounterMetricFamily]:
        yield CounterMetricFamily(
            "payouts_callbacks_refused",
            "Callbacks that were refused since the web server started.",
            value=refused_callbacks.refused.tally.total,
        )


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, value=value)


REGISTRY = CollectorRegistry()
REGISTRY.register(BacklogCollector())
REGISTRY.register(AlarmsCollector())
REGISTRY.register(RollupCollector())
REGISTRY.register(ReplicaCollector())
REGISTRY.register(RefusalsCollector())


def metrics(request: HttpRequest) -> HttpResponse:
    """Answer with all figures in the text format of Prometheus; 500 where the database cannot be asked."""
    del request
    connection.ensure_connection()
    return HttpResponse(generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)
