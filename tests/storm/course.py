"""The course of a storm: faults, then peace, then what is left."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import psycopg

from devstack import errors
from tests.storm import endings, listings, minima, orders, plan, reading, verdict
from tests.storm.clients import Client
from tests.storm.faults import Faults
from tests.storm.ledger import Ledger, Violation
from tests.storm.observed import Observed
from tests.storm.office import Office
from tests.storm.stage import Stage

CLIENTS = 5
#: Seconds from one order of a client to the next, on average: what two processors carry beside all the restarts.
PAUSE_SECONDS = 0.4
#: When the bank gets another address, as a share of the storm.
BANK_MOVES_SHARE = 0.6
#: When the standby of the database takes over, the same.
PROMOTION_SHARE = 0.75
#: The bound of the promise: so long after the last fault everything is final. Half of it is for a machine that has
#: other things to do, too.
PEACE_SECONDS_MAX = 150.0
#: Of that, for the clients to get their last answers.
_ANSWERS_SECONDS = 30.0
#: Longer than a lease and a retry, and longer than a ring that was lost. Who is not final by then waits for something
#: else, and the report says who.
_LATE_SECONDS = (15.0, 40.0)
_POLL_SECONDS = 0.02
_LOOK_SECONDS = 0.25


@dataclass(frozen=True)
class Outcome:
    """What is left when all is quiet again."""

    observed: Observed
    violations: list[Violation]
    #: How many payouts had come to their end before the faults did.
    final_in_time: int
    #: Seconds from the end of the faults until this was so.
    whole_after: float
    answered_after: float
    settled_after: float
    #: What was not final after most of the others.
    latecomers: list[str]
    faults: Faults
    #: What occurred, by the names of minima.py.
    occurred: Mapping[str, int]
    #: What operators recorded as failed in the end, because it may not be sent again and the bank does not have it.
    given_up: int
    #: What the platform did not let operators do.
    refused: Mapping[str, int]


class Storm:
    def __init__(self, stage: Stage, *, seed: int, seconds: float) -> None:
        self._stage = stage
        self._seconds = seconds
        self._faults = Faults(stage, plan.make(seed=seed, seconds=seconds), seed=seed)
        self._moves = 0
        self._promotions = 0
        self._stop_ordering = threading.Event()
        self._clients = [
            Client(number, port=stage.to_web, keys=stage.keys, seed=seed, wants=wants, stop=self._stop_ordering)
            for number, wants in enumerate(
                (
                    orders.of_whale(seed=seed),
                    *(
                        orders.of_client(seed=seed, client=number, pause_seconds=PAUSE_SECONDS)
                        for number in range(1, CLIENTS + 1)
                    ),
                )
            )
        ]
        log = stage.launch.state.logs / "desk.log"
        self._office = Office(environment=stage.desk_environment, log=log, seed=seed, seconds=seconds)

    def rage(self) -> None:
        """Have the clients order, and everything go wrong meanwhile."""
        self._office.hold_the_whale()
        self._stage.bank.misbehave()
        self._office.start()
        for client in self._clients:
            client.start()
        began = time.monotonic()
        while (now := time.monotonic() - began) < self._seconds:
            self._faults.tick(now)
            if not self._moves and now >= BANK_MOVES_SHARE * self._seconds:
                self._stage.move_bank()
                self._faults.at_the_bank.append((time.time(), time.time() + 1))
                self._moves += 1
            if not self._promotions and now >= PROMOTION_SHARE * self._seconds and self._stage.clusters.is_followed():
                self._stage.promote_standby()
                self._promotions += 1
                self._office.is_promoted = True
            self._tend()

    def calm_down(self) -> Outcome:
        """End all faults, wait until everything is final or the bound is reached, and judge."""
        self._peace_began, ended_at = time.monotonic(), time.time()
        self._stop_ordering.set()
        self._faults.end()
        self._office.close()
        whole = self._until(lambda: self._behaves() and self._stage.is_whole(), PEACE_SECONDS_MAX)
        answered = self._until(lambda: not any(client.is_alive() for client in self._clients), _ANSWERS_SECONDS)
        for client in self._clients:
            client.give_up.set()
        latecomers = []
        for seconds in _LATE_SECONDS:
            self._until(self._is_settled, seconds)
            latecomers += reading.latecomers(self._stage.database)
        settled = self._until(self._is_settled, PEACE_SECONDS_MAX)
        given_up = self._give_up()
        found = self._look_closely()
        self._office.leave()
        return Outcome(
            observed=found,
            occurred={
                **minima.occurred(found, logs=self._stage.launch.state.logs),
                "changes of the bank's address": self._moves,
            },
            given_up=given_up,
            refused=self._office.refused,
            violations=verdict.judge(found),
            final_in_time=reading.count_final_by(self._stage.database, ended_at),
            whole_after=whole,
            answered_after=answered,
            settled_after=settled,
            latecomers=latecomers,
            faults=self._faults,
        )

    def _until(self, condition: Callable[[], bool], seconds: float) -> float:
        """Wait for it until so many seconds of peace have passed; return how many have."""
        looked_at = 0.0
        while (passed := time.monotonic() - self._peace_began) < seconds:
            self._tend()
            if passed - looked_at > _LOOK_SECONDS:
                if condition():
                    break
                looked_at = passed
        return time.monotonic() - self._peace_began

    def _tend(self) -> None:
        """Look after the processes, and stop when somebody wants us to."""
        if self._stage.launch.stop_signal is not None:
            raise errors.StopRequestedError
        self._stage.supervisor.tick()
        time.sleep(_POLL_SECONDS)

    def _behaves(self) -> bool:
        """Have the bank behave; one that is closed or away is told later."""
        try:
            self._stage.bank.behave()
        except (OSError, http.client.HTTPException):
            return False
        return True

    def _is_settled(self) -> bool:
        """Ask the cheap question first: the book alone is as long as the storm."""
        self._office.resume_failover()
        try:
            return reading.count_unsettled(self._stage.database) == 0 and not verdict.disagreements(self._look())
        except psycopg.Error:
            return False

    def _give_up(self) -> int:
        """Do as an operator with the bank's book: what may not be sent again, and is not in it, has failed."""
        ledger = Ledger(self._look())
        left = [payout.id for payout in ledger.observed.payouts if endings.is_left_over(ledger, payout)]
        return sum("done" in self._office.ask_for("give_up", payout=payout_id) for payout_id in left)

    def _look_closely(self) -> Observed:
        """Look, and ask the platform itself what it would say."""
        verified = self._office.ask_for("verify")
        complaints = [] if "done" in verified else [str(verified)]
        told = listings.read(self._stage.web_port, self._stage.keys)
        return replace(self._look(), listings=told, rollup_complaints=complaints)

    def _look(self) -> Observed:
        return reading.read(
            self._stage.database,
            book=self._stage.bank.book(),
            audit=self._stage.bank.audit(),
            broken=self._faults.at_the_bank,
            told=[client.told for client in self._clients],
            harness=self._doubts(),
        )

    def _doubts(self) -> list[str]:
        """Say what makes this storm a weak one."""
        # Some faults find their target gone by another one's doing. Of many it would be a mistake in here.
        if len(self._faults.missed) > max(3, self._faults.done.total() // 5):
            return [f"{len(self._faults.missed)} faults missed their target: {plan.describe(self._faults.missed)}"]
        return []
