"""Work in bulk: claim as many due payouts as can be called at once, call, record what has come back, and go on.

The steps are those of Note [Commit, call, commit] in payouts/engine/processing.py. The calls are made in threads, which
use no database. All claims and records are made in the thread of the caller.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from accounts.models import Mode
from payouts.engine import circuits, claims, lanes, processing
from payouts.engine.claims import Claim, Claimed
from payouts.engine.evidence import Evidence
from payouts.engine.lane_circuits import LaneState
from payouts.engine.lanes import Group
from payouts.providers import registry
from payouts.states import AttemptKind
from postgres.errors import is_connection_lost

logger = logging.getLogger(__name__)

#: How long to claim, at most.
CLAIM_SECONDS_MAX: Final = 5.0
#: How soon payouts that become due meanwhile are found while calls are under way.
LOOK_SECONDS: Final = 0.05


def claim_seconds_for(timeout_seconds: float) -> float:
    """Return how long a task may claim. What is in hand is then finished: one call more, and its record.

    Celery stops a task softly after 1.5 times the time of a call. It would leave what is in hand to the leases.
    """
    return min(CLAIM_SECONDS_MAX, timeout_seconds / 4)


def run(
    *,
    claim_seconds: float = claim_seconds_for(settings.PROVIDER_TIMEOUT_SECONDS),
    is_stopping: Callable[[], bool] = lambda: False,
    on_backlog: Callable[[], object] = lambda: None,
) -> Round:
    """Process what is due until nothing is, or until the time is over. Return what was done.

    `on_backlog` is called once, as soon as more is due than this process can call at once.

    No more is claimed than can be called at once, so a lease covers one call and no queue. After `is_stopping` has
    returned True nothing is claimed any more. Several processes share the work.
    """
    this_round = Round(ends_at=time.monotonic() + claim_seconds, is_stopping=is_stopping, on_backlog=on_backlog)
    pool = ThreadPoolExecutor(max_workers=settings.WORKER_CALLS, thread_name_prefix="call")
    try:
        this_round.run(pool)
    finally:
        # Nothing is in hand, unless this process is told to end at once. It must not wait for calls then.
        pool.shutdown(wait=False, cancel_futures=True)
    return this_round


class Round:
    """The calls that are in hand, and what may still be claimed."""

    def __init__(self, *, ends_at: float, is_stopping: Callable[[], bool], on_backlog: Callable[[], object]) -> None:
        self._ends_at = ends_at
        self._is_stopping = is_stopping
        self._on_backlog: Callable[[], object] | None = on_backlog
        self._in_hand: dict[Future[Evidence], tuple[Group, Claim]] = {}
        self._groups: list[Group] = []
        self._looks_at = 0.0
        self._is_cut_off = False
        #: Number of calls made.
        self.calls = 0
        #: Whether more may be due.
        self.has_more = False

    def run(self, pool: ThreadPoolExecutor) -> None:
        """Go on until nothing is in hand. A lost connection ends the claiming: the sweeper finds what is left."""
        self._claim(pool)
        while self._in_hand:
            self._record(pool, self._answered())
            self._claim(pool)

    def _claim(self, pool: ThreadPoolExecutor) -> None:
        if self._is_over:
            self.has_more = bool(self._groups) and not self._is_cut_off
            return
        try:
            self._look()
            for group in list(self._groups):
                self._claim_or_leave(pool, group)
        except (DatabaseError, InterfaceError) as error:
            logger.warning("round.claim.failed", extra={"error": " ".join(str(error).split())})
            self._is_cut_off = True
            connection.close()

    @property
    def _is_over(self) -> bool:
        return self._is_cut_off or time.monotonic() >= self._ends_at or self._is_stopping()

    def _look(self) -> None:
        """Look for the groups again every LOOK_SECONDS."""
        if time.monotonic() >= self._looks_at:
            self._groups = lanes.waiting_groups()
            self._looks_at = time.monotonic() + LOOK_SECONDS

    def _claim_or_leave(self, pool: ThreadPoolExecutor, group: Group) -> None:
        """Claim of a group, or leave a group that fails to the next look. It keeps the others from nothing."""
        try:
            self._claim_group(pool, group)
        except Exception as error:
            if is_connection_lost(error):
                raise
            logger.exception("round.group.failed", extra={"kind": group.kind, "provider": group.provider})
            self._groups.remove(group)

    def _claim_group(self, pool: ThreadPoolExecutor, group: Group) -> None:
        places = self._free(group)
        if places <= 0:
            return
        claimed = _claimed(group, places=places)
        for claim in claimed.claims:
            self._start(pool, group, claim)
        if not claimed.has_more:
            self._groups.remove(group)
        elif self._on_backlog is not None:
            self._on_backlog()
            self._on_backlog = None

    def _free(self, group: Group) -> int:
        """Return the free places for a group: at most three quarters for test mode, and a quarter for questions."""
        free = settings.WORKER_CALLS - len(self._in_hand)
        if group.mode == Mode.TEST:
            free = min(
                free,
                settings.WORKER_CALLS
                - settings.WORKER_CALLS // 4
                - sum(one.mode == Mode.TEST for one, _ in self._in_hand.values()),
            )
        if group.kind == AttemptKind.ASK:
            free = min(
                free,
                max(1, settings.WORKER_CALLS // 4)
                - sum(one.kind == AttemptKind.ASK for one, _ in self._in_hand.values()),
            )
        return free

    def _start(self, pool: ThreadPoolExecutor, group: Group, claim: Claim) -> None:
        self._in_hand[pool.submit(processing.call, claim)] = group, claim
        self.calls += 1

    def _answered(self) -> list[tuple[Group, Claim, Evidence]]:
        """Wait for the next answer, at most until the next look, and return what has come."""
        done, _ = wait(self._in_hand, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED)
        return [(*self._in_hand.pop(future), future.result()) for future in done]

    def _record(self, pool: ThreadPoolExecutor, answered: list[tuple[Group, Claim, Evidence]]) -> None:
        if not answered:
            return
        try:
            processing.record([(claim, found) for _, claim, found in answered])
            for group, claim, found in answered:
                following = processing.next_claim(claim, found)
                if following is not None:
                    self._start(pool, group, following)
        except Exception as error:
            # The leases of what is not recorded run out, and the provider is asked. The others go on.
            logger.exception("round.record.failed")
            self._is_cut_off = is_connection_lost(error)
        if any(_frees_places(group, claim) for group, claim, _ in answered):
            self._looks_at = 0.0


def _claimed(group: Group, *, places: int) -> Claimed:
    try:
        return claims.claim_due(group, places=places)
    except DatabaseError as error:
        if is_connection_lost(error):
            raise
        return Claimed(claims.claim_each(group, places=places))


def _frees_places(group: Group, claim: Claim) -> bool:
    """Tell whether the end of this call may let others begin that found no place, or waited for a trial."""
    if claim.is_trial or claim.circuit is circuits.State.RECOVERING or claim.lane is LaneState.TO_BE_TRIED:
        return True
    return registry.get(group.provider).capabilities.concurrency_max is not None
