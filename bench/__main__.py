"""What a request costs over HTTP, beside bare REST framework and what people put together: ratios of one run.

    make bench [QUICK=1] [ARGS="--results bench/results/requests.json"]

Each application is a gunicorn with two workers of four threads, on a database of its own on the PostgreSQL of the
environment, and all use one Redis. The clients (bench/load.c) have 8 connections, and send as soon as they have an
answer. The processor time of a request is that of the application, PostgreSQL and Redis. Rounds alternate between the
applications, and medians count. A round during which other processes needed much of the machine is repeated.

`make bench` starts throw-away services that do not wait for the disk, so the figures are the processor's share of the
cost; a real disk adds its flush to each COMMIT. Machines differ and so do minutes on one machine: only ratios within
one run are worth comparing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import figures, load, processes, subjects
from bench.subjects import Subject

CONNECTIONS = 8
#: What is measured in a closed loop, in this order.
CLOSED = ("post", "replay", "get", "list", "filtered", "me", "livez")
#: The open loop: requests a second, and connections enough that none waits for another.
RATE, RATE_CONNECTIONS = 100.0, 32
WARM_UP_SECONDS = 1.0
#: Share of the machine that all else may use during a round, and how often a round is repeated for it.
FOREIGN_MAX, REPEATS_MAX = 0.1, 2
#: Requests after which memory is looked at.
MANY = 100_000


@dataclass(frozen=True)
class Round:
    """One application under one kind of load for some seconds."""

    subject: str
    what: str
    requests: int
    refused: int
    seconds: float
    cpu_us: dict[str, float]
    #: Processor time of the clients, for each request; and the share of the machine that had nothing to do with us.
    client_cpu_us: float
    foreign: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True)
class Clock:
    """Processor seconds so far, by part; and of everything on the machine."""

    parts: dict[str, float]
    own: float
    busy: float
    wall: float

    @classmethod
    def read(cls, subject: Subject) -> Clock:
        among = processes.running()
        ours = processes.below(os.getppid(), among=among)
        services = {"postgres": "postgres", "redis": "redis-server"}
        parts = {
            part: sum(process.cpu_seconds for process in ours if process.name == name)
            for part, name in services.items()
        }
        parts["application"] = sum(process.cpu_seconds for process in processes.below(subject.pid, among=among))
        own = sum(process.cpu_seconds for process in ours)
        return cls(parts, own, processes.busy_seconds(), time.monotonic())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="one short round of each")
    parser.add_argument("--seconds", type=float, help="of each round (default 3, or 1.2 with --quick)")
    parser.add_argument("--rounds", type=int, help="of each (default 3, or 1 with --quick)")
    parser.add_argument("--only", nargs="+", help="what to measure", choices=[*CLOSED, "open"])
    parser.add_argument("--results", type=Path, help="write all figures to this file as JSON")
    options = parser.parse_args()
    seconds = options.seconds or (1.2 if options.quick else 3.0)
    rounds = options.rounds or (1 if options.quick else 3)
    with ExitStack() as until:
        generator = until.enter_context(load.Generator())
        measured = subjects.subjects()
        for subject in measured:
            subject.start(until)
        wanted = options.only or [*CLOSED, "open"]
        taken = _measure(measured, generator, wanted, seconds=seconds, rounds=rounds)
        memory = {} if options.quick or options.only else _memory(measured[-1], generator)
    found = {"machine": _machine(), "seconds": seconds, "memory": memory, "rounds": [asdict(one) for one in taken]}
    figures.show(found, Console(width=figures.WIDTH))
    if options.results:
        options.results.write_text(json.dumps(found, indent=1) + "\n")


def _measure(
    measured: list[Subject], generator: load.Generator, wanted: list[str], *, seconds: float, rounds: int
) -> list[Round]:
    taken = []
    for what in wanted:
        request = "post" if what == "open" else what
        having = [subject for subject in measured if request in subject.requests]
        for subject in having:
            generator.send(subject.port, subject.requests[request], seconds=WARM_UP_SECONDS, connections=CONNECTIONS)
        for _ in range(rounds):
            taken += [_quiet_round(subject, generator, what, request, seconds) for subject in having]
        print(f"{what} measured", file=sys.stderr)
    return taken


def _quiet_round(subject: Subject, generator: load.Generator, what: str, request: str, seconds: float) -> Round:
    """Return the quietest of a few rounds: the first that is quiet enough, if one is."""
    tried: list[Round] = []
    for _ in range(1 + REPEATS_MAX):
        tried.append(_round(subject, generator, what, request, seconds))
        if tried[-1].foreign <= FOREIGN_MAX:
            break
    return min(tried, key=lambda one: one.foreign)


def _round(subject: Subject, generator: load.Generator, what: str, request: str, seconds: float) -> Round:
    in_open_loop = {"connections": RATE_CONNECTIONS, "rate": RATE} if what == "open" else {"connections": CONNECTIONS}
    before = Clock.read(subject)
    loaded = generator.send(subject.port, subject.requests[request], seconds=seconds, **in_open_loop)
    after = Clock.read(subject)
    foreign = (after.busy - before.busy) - (after.own - before.own) - loaded.cpu_seconds
    return Round(
        subject=subject.name,
        what=what,
        requests=loaded.requests,
        refused=loaded.refused,
        seconds=loaded.seconds,
        cpu_us={part: 1e6 * (after.parts[part] - before.parts[part]) / loaded.requests for part in before.parts},
        client_cpu_us=1e6 * loaded.cpu_seconds / loaded.requests,
        foreign=max(0.0, foreign / (after.wall - before.wall) / (os.cpu_count() or 1)),
        p50_ms=loaded.latency_ms(50),
        p90_ms=loaded.latency_ms(90),
        p99_ms=loaded.latency_ms(99),
        max_ms=max(loaded.latencies_us) / 1000,
    )


def _memory(ours: Subject, generator: load.Generator) -> dict[str, Any]:
    """Return the memory of our web processes before and after many requests, half of them POSTs."""
    before, sent = ours.workers_megabytes(), 0
    while sent < MANY:
        for request in ("post", "list"):
            sent += generator.send(ours.port, ours.requests[request], seconds=5, connections=CONNECTIONS).requests
    return {"requests": sent, "before_megabytes": before, "after_megabytes": ours.workers_megabytes()}


def _machine() -> dict[str, Any]:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    return {"processor": model, "cores": os.cpu_count(), "python": platform.python_version()}


if __name__ == "__main__":
    main()
