"""The operators of a storm: a thread that pauses and resumes, retries, asks and purges, through the desk's process."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tests.storm import orders

_WHALE: Final = {"merchant": orders.WHALE}
#: Acts, and how often each is chosen.
_ACTS: Final = {"retry": 4, "ask": 2, "purge": 1, "pause": 1}
_UNPAUSED_ACTS: Final = ("ask", "retry")
#: What may be paused: a merchant, a provider, everything.
_SCOPES: Final[tuple[Mapping[str, str], ...]] = ({"merchant": "acme"}, {"provider": "http_bank"}, {})
_BETWEEN_SECONDS: Final = (0.5, 1.5)
_PAUSED_SECONDS: Final = (2.0, 3.0)
_AGAIN_SECONDS: Final = 0.3
#: The whale's payouts gather for so long: until then, and while they drain, nothing else is paused.
WHALE_SHARE: Final = 0.35
WHALE_SECONDS_MAX: Final = 25.0
_DRAIN_SECONDS: Final = 12.0


class Office(threading.Thread):
    """`done` counts what was done, `refused` what was not, by the act and the reason."""

    def __init__(self, *, environment: Mapping[str, str], log: Path, seed: int, seconds: float) -> None:
        super().__init__(name="office", daemon=True)
        self.done: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._chance = random.Random(f"operators {seed}")
        self._whale_goes_at = min(WHALE_SHARE * seconds, WHALE_SECONDS_MAX)
        self._closing = threading.Event()
        self.is_promoted = False
        self._log = log.open("wb")
        self._desk = subprocess.Popen(
            [sys.executable, "-m", "tests.storm.desk"],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )

    def hold_the_whale(self) -> None:
        self._until_done("pause", _WHALE)

    def run(self) -> None:
        self._began = time.monotonic()
        for _ in self._turns(until=self._whale_goes_at - _BETWEEN_SECONDS[1] - _PAUSED_SECONDS[1]):
            self._act()
        for _ in self._turns(until=self._whale_goes_at):
            self._do(self._chance.choice(_UNPAUSED_ACTS))
        self._until_done("resume", _WHALE)
        for _ in self._turns(until=self._whale_goes_at + _DRAIN_SECONDS):
            self._do(self._chance.choice(_UNPAUSED_ACTS))
        for _ in self._turns(until=float("inf")):
            self._act()

    def close(self) -> None:
        """Act no more. What is paused goes on."""
        self._closing.set()
        self.join()

    def ask_for(self, act: str, **order: str) -> dict[str, Any]:
        """Have one thing done after `close`, and return the desk's answer."""
        return self._say(act, order)

    def leave(self) -> None:
        assert self._desk.stdin is not None
        with contextlib.suppress(OSError):
            self._desk.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._desk.wait(5)
        self._desk.kill()
        self._log.close()

    def _turns(self, *, until: float) -> Iterator[None]:
        while time.monotonic() - self._began < until:
            if self._closing.wait(self._chance.uniform(*_BETWEEN_SECONDS)):
                return
            self.resume_failover()
            yield

    def resume_failover(self) -> None:
        """After a promotion the platform pauses everything by itself, as soon as a sweeper finds another server."""
        if self.is_promoted and self._say("resume_failover", {}).get("done"):
            self.done["resume_failover"] += 1

    def _act(self) -> None:
        act = self._chance.choices(list(_ACTS), weights=list(_ACTS.values()))[0]
        if act != "pause":
            self._do(act)
            return
        scope = self._chance.choice(_SCOPES)
        if self._do("pause", scope):
            self._closing.wait(self._chance.uniform(*_PAUSED_SECONDS))
            self._until_done("resume", scope)

    def _do(self, act: str, order: Mapping[str, str] = {}) -> bool:
        answer = self._say(act, order)
        if answer.get("done"):
            self.done[act] += 1
        if "refused" in answer:
            self.refused[f"{act}: {answer['refused'].partition(':')[0]}"] += 1
        return "done" in answer

    def _until_done(self, act: str, order: Mapping[str, str]) -> None:
        """Do it although the database is away for a while. Refused: it was done, and the answer was lost."""
        while "away" in self._say(act, order):
            time.sleep(_AGAIN_SECONDS)
        self.done[act] += 1

    def _say(self, act: str, order: Mapping[str, str]) -> dict[str, Any]:
        assert self._desk.stdin is not None
        assert self._desk.stdout is not None
        self._desk.stdin.write(json.dumps({"act": act, **order}).encode() + b"\n")
        self._desk.stdin.flush()
        answer: dict[str, Any] = json.loads(self._desk.stdout.readline())
        return answer
