"""The output of the demonstration: each step with its request, as a shell command, and the answer."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence

import httpx
from rich.console import Console
from rich.text import Text

# Headers that matter for a step. The others are the same in every answer.
_HEADERS_SHOWN = ("Location", "Idempotent-Replayed", "Retry-After")


class DemoTerminal:
    """Prints steps, requests, answers and verdicts; as plain text if the output is not a terminal."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True, markup=False)
        self._step = 0

    def step(self, title: str) -> None:
        self._step += 1
        self._print(f"\n{self._step}. {title}", "bold")

    def command(self, arguments: Sequence[str], printed: str) -> None:
        self._print(f"   $ {shlex.join(arguments)}", "cyan")
        self._print(f"   {printed}")

    def exchange(self, response: httpx.Response) -> None:
        """Show a request as curl, and its answer."""
        self._print(f"   $ {curl(response.request)}", "cyan")
        style = "green" if response.is_success else "yellow"
        self._print(f"   {response.http_version} {response.status_code} {response.reason_phrase}", style)
        for name in _HEADERS_SHOWN:
            if name in response.headers:
                self._print(f"   {name}: {response.headers[name]}", "dim")
        for line in body_lines(response):
            self._print(f"   {line}")

    def note(self, text: str) -> None:
        self._print(f"   {text}", "dim")

    def passed(self, text: str) -> None:
        self._print(f"   ok: {text}", "bold green")

    def failed(self, text: str) -> None:
        self._print(f"   FAILED: {text}", "bold red")

    def say(self, text: str = "", style: str = "") -> None:
        self._print(text, style)

    def _print(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style=style))


def curl(request: httpx.Request) -> str:
    """Return the command that sends the same request."""
    words = ["curl", str(request.url)]
    if request.method not in ("GET", "POST"):
        words += ["-X", request.method]
    for name, value in _headers_sent(request.headers).items():
        words += ["-H", f"{name}: {value}"]
    if request.content:
        words += ["-d", request.content.decode("utf-8")]
    return shlex.join(words)


def _headers_sent(headers: httpx.Headers) -> Mapping[str, str]:
    ours = ("Authorization", "Content-Type", "Idempotency-Key")
    return {name: headers[name] for name in ours if name in headers}


def body_lines(response: httpx.Response) -> list[str]:
    """Return the lines of the body, indented if it is JSON."""
    try:
        return json.dumps(response.json(), indent=2, ensure_ascii=False).splitlines()
    except ValueError:
        return response.text.splitlines()
