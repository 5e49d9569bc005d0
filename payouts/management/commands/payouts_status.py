from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from django.core.management.base import BaseCommand

from payouts.engine import backlog as reporting
from payouts.engine import heartbeats
from payouts.engine import pauses as pausing
from payouts.management import operating
from payouts.models import LaneCircuit, Pause, ProviderCircuit

#: One page of a terminal; the admin lists all.
_LISTED_MAX: Final = 30
_TIME: Final = "%Y-%m-%d %H:%M:%S UTC"


class Command(BaseCommand):
    help = "Show on a terminal what is paused, what is in trouble, what waits, and what waits for you. Changes nothing."

    def handle(self, *args: Any, **options: Any) -> None:
        del args, options
        with operating.refusals_as_command_errors():
            lines = list(_lines())
        self.stdout.write("\n".join(lines))


def _lines() -> Iterator[str]:
    yield "Pauses"
    yield from _pauses()
    yield "Circuits"
    yield from _circuits()
    yield from _lanes()
    yield "Sweeper"
    yield f"  {_sweeper()}"
    backlog = reporting.backlog()
    yield "Waits for the platform"
    yield _figure("payouts that are due", backlog["due"], f"the oldest for {_duration(backlog['overdue_seconds'])}")
    yield _figure("payouts held back", backlog["held"], "by a pause or an open circuit")
    yield _figure("callbacks", backlog["callbacks"], "not applied yet")
    alarms = reporting.alarms()
    yield "Waits for you"
    yield _figure("requires attention", alarms["requires_attention"], "find out whether money moved; resolve_payout")
    yield _figure("contradicted", alarms["contradicted"], "compare with the statement; acknowledge_payout")
    yield _aged("unknown", alarms["unknown"], alarms["unknown_seconds"], "ask the provider; ask_payout --all")
    late = "the provider is late, or gone; ask_payout --all"
    yield _aged("submitted, and late", alarms["submitted_late"], alarms["submitted_late_seconds"], late)
    unexplained, seconds = alarms["callbacks_unexplained"], alarms["callbacks_unexplained_seconds"]
    yield _aged("callbacks, unexplained", unexplained, seconds, "ask the provider; clear_callback")


def _pauses() -> Iterator[str]:
    in_force = Pause.objects.active().select_related("merchant").order_by("id")
    pauses = list(in_force[: _LISTED_MAX + 1])
    if not pauses:
        yield "  none"
    for pause in pauses[:_LISTED_MAX]:
        scope = pausing.Scope(merchant=pause.merchant, provider=pause.provider)
        who = operating.printable(pause.actor)
        yield f"  {scope}: since {_time(pause.created_at)} by {who}: {operating.printable(pause.reason)}"
    if len(pauses) > _LISTED_MAX:
        yield "  and more"


def _circuits() -> Iterator[str]:
    troubled = ProviderCircuit.objects.filter(retry_at__isnull=False).with_state()
    rows = list(troubled.order_by("provider").values_list("provider", "is_open", "opened_at", "retry_at"))
    if not rows:
        yield "  all closed: every provider takes what it is sent"
    for provider, is_open, opened_at, retry_at in rows:
        yield f"  {provider}: open since {_time(opened_at)}, {_trial(is_open, retry_at)}"


def _lanes() -> Iterator[str]:
    held = LaneCircuit.objects.filter(retry_at__isnull=False).with_state().select_related("merchant").order_by("id")
    lanes = list(held[: _LISTED_MAX + 1])
    for lane in lanes[:_LISTED_MAX]:
        who = f"{lane.provider}, merchant {operating.printable(lane.merchant.name)} ({lane.mode})"
        yield f"  {who}: its own payouts fail since {_time(lane.opened_at)}, {_trial(lane.is_open, lane.retry_at)}"
    if len(lanes) > _LISTED_MAX:
        yield "  and more"


def _trial(is_open: bool, retry_at: datetime | None) -> str:  # noqa: FBT001
    return f"tried again at {_time(retry_at)}" if is_open else "tried with the next payout"


def _sweeper() -> str:
    age_seconds = heartbeats.age_seconds()
    if age_seconds is None:
        return "NOT AT WORK: none was ever seen"
    state = "at work" if age_seconds <= heartbeats.STALE_SECONDS else "NOT AT WORK"
    return f"{state}: last seen {_duration(age_seconds)} ago"


def _aged(what: str, count: int, seconds: float, remark: str) -> str:
    return _figure(what, count, f"the oldest for {_duration(seconds)}: {remark}")


def _figure(what: str, count: int, remark: str) -> str:
    shown = f"{count}+" if count == reporting.COUNT_MAX else str(count)
    return f"  {what:<22}{shown:>8}{'  ' + remark if count else ''}"


def _time(moment: datetime | None) -> str:
    return moment.strftime(_TIME) if moment else "-"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    if minutes < 120:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h" if hours < 48 else f"{hours // 24} days"
