from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from types import FrameType
from typing import Any, TypeVar

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError, close_old_connections, connection

from idempotency import retention
from payouts.engine import heartbeats
from payouts.engine import sweep as sweeping
from payouts.exports import sweep
from payouts.summaries import rollup
from postgres import time_outs

logger = logging.getLogger(__name__)

Done = TypeVar("Done")

HOST = f"sweeper:{socket.gethostname()}:"
PROCESS = f"{HOST}{os.getpid()}"


class Command(BaseCommand):
    help = (
        "Find the payouts that the doorbell missed and have them processed, and erase answers to idempotency keys that "
        "are past their time, and keep the roll-up of past days, until stopped."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="do one round and exit")
        parser.add_argument("--interval-seconds", type=float, default=5.0, help="pause between rounds (default 5)")

        parser.add_argument(
            "--is-alive", action="store_true", help="tell whether a sweeper on this host is at work, by the exit code"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        del args
        if options["is_alive"]:
            _tell_whether_alive()
            return
        # Before the first connection.
        time_outs.ask_for(settings.WORKER_PGOPTIONS)
        interval_seconds = options["interval_seconds"]
        if not 0.1 <= interval_seconds <= 3600:  # a pause, but too short to hide an outage
            raise CommandError("--interval-seconds takes a number from 0.1 to 3600.")
        if options["once"]:
            done = sweeping.sweep()
            purged = _purge()
            rollup.maintain(None)
            sweep.sweep()
            self.stderr.write(
                f"{done.due} due: {done.rung} rung for, {done.processed} processed here. "
                f"{done.expired} leases ran out. {done.callbacks} callbacks applied. {purged} old answers erased."
            )
            return
        # A database that is unreachable now means a wrong setting; later it means an outage that passes.
        connection.ensure_connection()
        stop = Stop()
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signal_number, stop.request)
        _sweep_until(stop, interval_seconds=interval_seconds)


class Stop:
    """A request to stop, as a plain attribute that a signal handler may set.

    A threading.Event has a lock, which the interrupted thread may hold: setting the event in a handler can deadlock.
    """

    requested: bool = False

    def request(self, signal_number: int, frame: FrameType | None) -> None:
        """Handle the signal: stop after this round."""
        del signal_number, frame
        self.requested = True

    def pause(self, seconds: float) -> None:
        """Sleep, but wake up soon after a request."""
        ends_at = time.monotonic() + seconds
        while not self.requested and (left := ends_at - time.monotonic()) > 0:
            time.sleep(min(0.1, left))


def _sweep_until(stop: Stop, *, interval_seconds: float) -> None:
    """Sweep and pause in turns. Payouts come first in each round, even if the other steps fail."""
    horizon: rollup.Horizon | None = None
    while not stop.requested:
        close_old_connections()
        _logging_failure("heartbeat.failed", lambda: heartbeats.beat(PROCESS))
        swept = _logging_failure("sweep.failed", sweeping.sweep)
        _logging_failure("idempotency.purge.failed", _purge)
        _logging_failure("exports.upkeep.failed", sweep.sweep)
        horizon = _logging_failure("rollup.failed", partial(rollup.maintain, horizon))
        stop.pause(0.0 if swept and swept.has_more else interval_seconds)


def _tell_whether_alive() -> None:
    age_seconds = heartbeats.age_seconds(HOST)
    if age_seconds is None or age_seconds > heartbeats.STALE_SECONDS:
        raise CommandError("No sweeper on this host is at work.")


def _purge() -> int:
    return retention.purge_responses(older_than=timedelta(days=settings.IDEMPOTENCY_RESPONSE_DAYS))


def _logging_failure(event: str, step: Callable[[], Done]) -> Done | None:
    """Do a step. Log a failure: the next round tries again, as PostgreSQL may be restarting.

    A defect of ours in one step must not end the others.
    """
    try:
        return step()
    except (DatabaseError, InterfaceError) as error:
        logger.warning(event, extra={"error": " ".join(str(error).split())})
    except Exception:
        logger.exception(event)
    return None
