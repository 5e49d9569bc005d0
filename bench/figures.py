"""From the rounds of a run to its tables.

python -m bench.figures bench/results/requests.json [--document docs/performance.md]
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.table import Table

#: What a round measured, in words.
NAMES: Final = {
    "post": "POST",
    "replay": "replay",
    "get": "GET one",
    "list": "list of 50",
    "filtered": "list, 4 filters",
    "me": "GET /api/me/",
    "livez": "GET /livez",
    "open": "POST at 100/s",
}
#: Columns of the widest table.
WIDTH: Final = 150
_BEGIN, _END = "<!-- figures: written by bench/figures.py -->", "<!-- end of figures -->"


class Goal(NamedTuple):
    """A ratio, what it should be, and what it must not be beyond."""

    what: str
    figure: str
    ours: str
    other: str
    of: str
    goal: float
    bar: float
    more_is_better: bool = False


GOALS: Final = (
    Goal("POST, CPU / bare's POST", "cpu", "post", "bare", "post", 0.75, 1.0),
    Goal("POST, requests/s / bare's", "rate", "post", "bare", "post", 1.3, 1.0, more_is_better=True),
    Goal("POST, requests/s / do-it-yourself", "rate", "post", "diy", "post", 7, 4, more_is_better=True),
    Goal("replay, CPU / bare's POST", "cpu", "replay", "bare", "post", 0.40, 0.5),
    Goal("GET one, CPU / bare's", "cpu", "get", "bare", "get", 0.30, 0.45),
    Goal("list of 50, CPU / bare's", "cpu", "list", "bare", "list", 0.30, 0.45),
    Goal("list, 4 filters, CPU / bare's", "cpu", "filtered", "bare", "filtered", 0.30, 0.45),
    Goal("GET /api/me/, CPU / bare's GET", "cpu", "me", "bare", "get", 0.25, 0.35),
    Goal("POST, p99 / bare's", "p99", "post", "bare", "post", 1.0, 1.5),
    Goal("GET one, p99 / bare's", "p99", "get", "bare", "get", 1.0, 1.5),
    Goal("list of 50, p99 / bare's", "p99", "list", "bare", "list", 1.0, 1.5),
    Goal("POST at 100/s, p99 / bare's", "p99", "open", "bare", "open", 1.2, 1.5),
)


class Median(NamedTuple):
    """The medians of the rounds of one application under one kind of load."""

    cpu: float
    parts: dict[str, float]
    rate: float
    p50: float
    p99: float
    client_cpu: float
    foreign: float


def medians(found: dict[str, Any]) -> dict[tuple[str, str], Median]:
    """Return the medians by application and what was measured."""
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in found["rounds"]:
        grouped.setdefault((one["subject"], one["what"]), []).append(one)
    return {key: _median(rounds) for key, rounds in grouped.items()}


def _median(rounds: list[dict[str, Any]]) -> Median:
    def of(name: str) -> float:
        return float(statistics.median(one[name] for one in rounds))

    return Median(
        cpu=statistics.median(sum(one["cpu_us"].values()) for one in rounds),
        parts={part: statistics.median(one["cpu_us"][part] for one in rounds) for part in rounds[0]["cpu_us"]},
        rate=statistics.median(one["requests"] / one["seconds"] for one in rounds),
        p50=of("p50_ms"),
        p99=of("p99_ms"),
        client_cpu=of("client_cpu_us"),
        foreign=of("foreign"),
    )


def costs(found: dict[str, Any]) -> Iterator[list[str]]:
    """Yield the rows of the table of what was measured, the names first."""
    yield [
        "what", "application", "CPU, us", "of it application", "PostgreSQL", "Redis",
        "requests/s", "p50, ms", "p99, ms", "client, us", "foreign",
    ]  # fmt: skip
    for (subject, what), one in medians(found).items():
        yield [
            NAMES[what],
            subject,
            *(f"{figure:,.0f}" for figure in (one.cpu, *(one.parts[p] for p in ("application", "postgres", "redis")))),
            f"{one.rate:,.0f}",
            f"{one.p50:.1f}",
            f"{one.p99:.1f}",
            f"{one.client_cpu:.0f}",
            f"{one.foreign:.0%}",
        ]


def ratios(found: dict[str, Any]) -> Iterator[list[str]]:
    """Yield the rows of the table of ratios, the names first."""
    by_key = medians(found)
    yield ["ratio", "measured", "goal", "bar", ""]
    for goal in GOALS:
        ours, other = by_key.get(("ours", goal.ours)), by_key.get((goal.other, goal.of))
        if ours is None or other is None:
            continue
        ratio = getattr(ours, goal.figure) / getattr(other, goal.figure)
        yield [goal.what, f"{ratio:.2f}", f"{goal.goal:g}", f"{goal.bar:g}", _verdict(goal, ratio)]
    if found["memory"]:
        memory = found["memory"]
        most = max(memory["after_megabytes"])
        grown = most - max(memory["before_megabytes"])
        yield [
            f"MB of a web process after {memory['requests']:,} requests",
            f"{most:.0f} ({grown:+.0f})",
            "100",
            "120",
            "",
        ]


def _verdict(goal: Goal, ratio: float) -> str:
    sign = -1 if goal.more_is_better else 1
    if sign * ratio <= sign * goal.goal:
        return "goal"
    return "bar" if sign * ratio <= sign * goal.bar else "missed"


def show(found: dict[str, Any], console: Console) -> None:
    """Print both tables."""
    for rows in (costs(found), ratios(found)):
        table = Table(*next(rows))
        for row in rows:
            table.add_row(*row)
        console.print(table)


def markdown(found: dict[str, Any]) -> str:
    """Return both tables for a document."""
    machine = found["machine"]
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}.",
        "",
    ]
    for rows in (costs(found), ratios(found)):
        names = next(rows)
        lines += [_line(names), _line(["---"] * len(names)), *(_line(row) for row in rows), ""]
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.figures")
    parser.add_argument("results", type=Path)
    parser.add_argument("--document", type=Path, help="replace the figures of this document")
    options = parser.parse_args()
    found = json.loads(options.results.read_text())
    if options.document is None:
        show(found, Console(width=WIDTH))
        return
    before, _, rest = options.document.read_text().partition(_BEGIN)
    after = rest.partition(_END)[2]
    options.document.write_text(f"{before}{_BEGIN}\n\n{markdown(found)}\n{_END}{after}")


if __name__ == "__main__":
    main()
