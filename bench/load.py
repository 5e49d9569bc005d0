"""Runs bench/load.c, the load generator, which the machine's C compiler makes on the spot."""

from __future__ import annotations

import itertools
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

#: Replaced by a number that is new in each request.
NEW: Final = "@" * 12

_SOURCE: Final = Path(__file__).with_suffix(".c")
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Loaded:
    """What the clients have seen."""

    requests: int
    refused: int
    seconds: float
    #: The generator's own.
    cpu_seconds: float
    latencies_us: list[int]

    def latency_ms(self, percent: float) -> float:
        """Return the latency that this share of the requests did not exceed."""
        return statistics.quantiles(self.latencies_us, n=1000)[int(percent * 10) - 1] / 1000


class Generator:
    """The compiled program, in a directory that ends with the `with` block."""

    def __enter__(self) -> Generator:
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler is None:
            raise SystemExit("A C compiler is needed for the load generator: install gcc, for example.")
        self._directory = tempfile.TemporaryDirectory(prefix="payouts-bench-")
        self._program = Path(self._directory.name, "load")
        subprocess.run([compiler, "-O2", "-o", str(self._program), str(_SOURCE)], check=True)
        return self

    def __exit__(self, *error: object) -> None:
        self._directory.cleanup()

    def send(self, port: int, request: bytes, *, seconds: float, connections: int, rate: float = 0) -> Loaded:
        """Send the request again and again. Without a rate, each connection sends when it has its answer."""
        file = Path(self._directory.name, "request")
        file.write_bytes(request)
        first = next(_numbers) * 1_000_000
        arguments = [str(value) for value in (port, connections, seconds, rate, first, file)]
        output = subprocess.run([str(self._program), *arguments], check=True, capture_output=True, text=True).stdout
        summary, latencies = output.splitlines()
        requests, refused, elapsed, cpu = summary.split()
        return Loaded(
            int(requests), int(refused), float(elapsed), float(cpu), [int(number) for number in latencies.split()]
        )


def request(method: str, target: str, *, headers: Mapping[str, str], body: Any = None) -> bytes:
    """Return a request as it is sent."""
    content = b"" if body is None else str(body).encode()
    lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    if content:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content
