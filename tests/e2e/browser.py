"""A real browser for the pages that people see, and what it noticed while a test looked at them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import ConsoleMessage, Page, Request, Response, sync_playwright

REQUIRED_VARIABLE = "PAYOUTS_REQUIRE_BROWSER"
NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    # Containers have neither user namespaces nor a graphics card.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    # No visits of its own.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # No other machine can be found at all, whatever a page asks for.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]
TIMEOUT_MILLISECONDS = 10_000


@dataclass
class Noticed:
    """What must not have happened on a page of ours."""

    base_url: str
    console_errors: list[str] = field(default_factory=list)
    foreign_requests: list[str] = field(default_factory=list)
    failed_requests: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("console", self._note_console)
        page.on("pageerror", lambda error: self.console_errors.append(str(error)))
        page.on("request", self._note_request)
        page.on("response", self._note_response)

    def _note_console(self, message: ConsoleMessage) -> None:
        # A breach of the Content-Security-Policy is an error on the console.
        if message.type in {"error", "warning"}:
            self.console_errors.append(f"{message.text} ({message.page.url if message.page else ''})")

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.base_url}/", "data:", "blob:")):
            self.foreign_requests.append(request.url)

    def _note_response(self, response: Response) -> None:
        if response.status >= 400:
            self.failed_requests.append(f"{response.status} {response.url}")

    @property
    def everything(self) -> list[str]:
        return [*self.console_errors, *self.foreign_requests, *self.failed_requests]


@contextmanager
def opened(base_url: str) -> Iterator[tuple[Page, Noticed]]:
    """Open a browser window of its own. Its event loop ends with the block, for Django's ORM refuses to run in one."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_executable(), args=ARGUMENTS)
        page = browser.new_page(base_url=base_url, viewport={"width": 1440, "height": 950})
        page.set_default_timeout(TIMEOUT_MILLISECONDS)
        noticed = Noticed(base_url)
        noticed.watch(page)
        yield page, noticed
        browser.close()


def _executable() -> str:
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        reason = f"No browser is installed: none of {', '.join(NAMES)} is on PATH (Debian: apt install chromium)."
        if os.environ.get(REQUIRED_VARIABLE) == "1":
            pytest.fail(f"{reason} {REQUIRED_VARIABLE}=1 makes it obligatory.")
        pytest.skip(reason)
    return found
