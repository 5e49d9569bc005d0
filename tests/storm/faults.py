"""Carry out the plan: begin each fault at its time, and end it."""

from __future__ import annotations

import heapq
import http.client
import itertools
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

import psycopg
import redis

from tests.storm.plan import Fault, Kind
from tests.storm.proxies import Mode
from tests.storm.stage import Stage

_MODES: Final = {
    Kind.REFUSE: Mode.REFUSE,
    Kind.SILENCE: Mode.SILENCE,
    Kind.DELAY: Mode.DELAY,
    Kind.LOSE_ANSWERS: Mode.LOSE_ANSWERS,
    Kind.LOSE_RECEIPTS: Mode.LOSE_RECEIPTS,
    Kind.LOSE_COMMITS: Mode.LOSE_COMMITS,
}
#: How a server is ended at once: as by the administrator ("immediate" shutdown), and as by the kernel.
_ENDINGS: Final = (signal.SIGQUIT, signal.SIGKILL)
_REDIS_SECONDS = 2.0
_BANK_STARTS_SECONDS = 0.5

Step = Callable[[], object]


class Faults:
    """Those of one storm. `done` counts those that struck, `missed` the others."""

    def __init__(self, stage: Stage, plan: Iterable[Fault], *, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self.missed: list[Fault] = []
        #: By the clock of the wall: when the bank, or the way to it, was broken, or a frozen process went on.
        self.at_the_bank: list[tuple[float, float]] = []
        self._stage = stage
        self._chance = random.Random(f"means {seed}")
        self._order = itertools.count()
        self._agenda: list[tuple[float, int, Step]] = []
        for fault in plan:
            self._at(fault.at, lambda fault=fault: self._begin(fault))  # type: ignore[misc]
        self._means: dict[Kind, Callable[[Fault], bool]] = {
            Kind.KILL: self._kill,
            Kind.KILL_PARENT: self._kill_parent,
            Kind.KILL_CHILD: self._kill_child,
            Kind.FREEZE: self._freeze,
            Kind.TERMINATE: self._terminate,
            Kind.RESTART: self._restart,
            Kind.FLUSH: self._flush,
            Kind.DOWN: self._close_bank,
            Kind.CUT: self._cut,
            **dict.fromkeys(_MODES, self._break_wire),
        }

    def tick(self, now: float) -> None:
        """Do what is due, `now` seconds after the storm began."""
        while self._agenda and self._agenda[0][0] <= now:
            heapq.heappop(self._agenda)[2]()

    def end(self) -> None:
        """End all faults that have not ended by themselves."""
        self._agenda.clear()
        self._stage.supervisor.thaw_all()
        self._stage.wires.heal()

    def _at(self, when: float, step: Step) -> None:
        heapq.heappush(self._agenda, (when, next(self._order), step))

    def _begin(self, fault: Fault) -> None:
        try:
            struck = self._means[fault.kind](fault)
        except (OSError, http.client.HTTPException, psycopg.Error, redis.RedisError):
            # What it was meant for is not there at this moment, by another fault.
            struck = False
        if struck:
            if fault.target in ("bank", "to_bank"):
                self.at_the_bank.append((time.time(), time.time() + fault.seconds))
            self.done[f"{fault.target.split('-')[0]}: {fault.kind.value}"] += 1
        else:
            self.missed.append(fault)

    def _kill(self, fault: Fault) -> bool:
        if fault.target == "bank":
            self._at(fault.ends_at + _BANK_STARTS_SECONDS, lambda: self._misbehave_again(fault.ends_at))
        return self._stage.supervisor.kill(fault.target, away_seconds=fault.seconds)

    def _misbehave_again(self, since: float) -> None:
        """A bank that starts anew behaves well until it is told; it may not be there yet."""
        try:
            self._stage.bank.misbehave()
        except (OSError, http.client.HTTPException):
            later = since + _BANK_STARTS_SECONDS
            self._at(later + _BANK_STARTS_SECONDS, lambda: self._misbehave_again(later))

    def _kill_parent(self, fault: Fault) -> bool:
        return self._stage.supervisor.kill_parent(fault.target, away_seconds=fault.seconds)

    def _kill_child(self, fault: Fault) -> bool:
        return self._stage.supervisor.kill_child(fault.target)

    def _freeze(self, fault: Fault) -> bool:
        self._at(fault.ends_at, lambda: self._stage.supervisor.thaw(fault.target))
        # A process asks about what it had in hand before, although others have its places by then.
        self.at_the_bank.append((time.time() + fault.seconds, time.time() + fault.seconds))
        return self._stage.supervisor.freeze(fault.target)

    def _terminate(self, fault: Fault) -> bool:
        """End about half of the sessions; those in the middle of something are as likely as the others."""
        del fault
        with psycopg.connect(self._stage.database, autocommit=True) as connection:
            sessions = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE usename = current_user AND pid <> pg_backend_pid() ORDER BY pid"
            ).fetchall()
            chosen = [pid for (pid,) in sessions if self._chance.random() < 0.5]
            connection.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::integer[]) AS pid", [chosen])
        return bool(chosen)

    def _restart(self, fault: Fault) -> bool:
        number = self._chance.choice(_ENDINGS)
        return self._stage.supervisor.kill_parent(fault.target, away_seconds=fault.seconds, number=number)

    def _flush(self, fault: Fault) -> bool:
        del fault
        with redis.Redis.from_url(self._stage.redis.url, socket_timeout=_REDIS_SECONDS) as client:
            return bool(client.flushall())

    def _close_bank(self, fault: Fault) -> bool:
        self._stage.bank.misbehave(down_seconds=fault.seconds)
        return True

    def _cut(self, fault: Fault) -> bool:
        self._stage.wires.cut(fault.target)
        return True

    def _break_wire(self, fault: Fault) -> bool:
        self._at(fault.ends_at, lambda: self._stage.wires.set_mode(fault.target, Mode.PASS))
        self._stage.wires.set_mode(fault.target, _MODES[fault.kind])
        return True
