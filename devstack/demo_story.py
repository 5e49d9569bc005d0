"""The main job from end to end, by HTTP and two commands. Every answer is compared exactly."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx

from devstack.demo_terminal import DemoTerminal
from devstack.processes import children

_PAYOUTS = "/api/payouts/"
_PAID_SECONDS = 30.0
_POLL_SECONDS = 0.2
_COMMAND_SECONDS = 30.0

_FIRST = {
    "amount": "100.00",
    "currency": "USD",
    "recipient_details": "Card ****1234",
    "comment": "Test payout",
}
_SECOND = {
    "amount": "20.00",
    "currency": "EUR",
    "recipient_details": {"name": "Jane Doe", "account": "DE89370400440532013000", "country": "DE"},
    "reference": "invoice-1002",
}
_REJECTED = {
    "amount": "99.99",
    "currency": "USD",
    "recipient_details": {"name": "Nobody Home", "account": "sandbox_rejected_account_closed"},
    "reference": "invoice-1003",
}
_LIVE = {
    "amount": "250.00",
    "currency": "EUR",
    "recipient_details": {"name": "Jane Doe", "account": "bank_accepted"},
    "reference": "invoice-1004",
}


class UnexpectedAnswerError(Exception):
    """An answer differs from the documentation."""


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turn a missing field or a body that is not JSON into an UnexpectedAnswerError."""
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UnexpectedAnswerError(f"the last answer has not the promised shape ({reason})") from error


class DemoStory:
    """Plays the story against a running stack."""

    def __init__(
        self,
        terminal: DemoTerminal,
        *,
        base_url: str,
        environment: Mapping[str, str],
        check: Callable[[], None],
        has_bank: bool,
    ) -> None:
        self._terminal = terminal
        self._environment = environment
        self._check = check
        self._has_bank = has_bank
        self._http = httpx.Client(base_url=base_url, timeout=10.0, trust_env=False)

    def play(self) -> None:
        """Play every step; raise UnexpectedAnswerError at the first wrong answer."""
        with self._http, _explained():
            acme, globex = self._create_merchants()
            payout = self._create_payout(acme)
            self._repeat(acme, payout)
            self._reuse_key(acme)
            self._ask_as_stranger(globex, payout)
            self._await_paid(acme, payout)
            second = self._send(acme, _SECOND, key="invoice-1002")
            self._send(acme, _REJECTED, key="invoice-1003")
            self._list(acme, newest=["invoice-1003", "invoice-1002", ""], second=second)
            self._filter(acme)
            self._sum(acme)
            # Another provider may move money, so a demonstration sends nothing to it.
            if self._has_bank:
                self._pay_live()

    def _create_merchants(self) -> tuple[str, str]:
        self._terminal.step("Two merchants, a test-mode API key for each")
        keys = []
        for name in ("acme", "globex"):
            self._manage("create_merchant", name)
            keys.append(self._manage("issue_api_key", name, "--mode", "test"))
        self._expect("each key", [key.count(".") for key in keys], [1, 1])
        self._terminal.passed("each key is shown this once; only its hash is stored")
        return keys[0], keys[1]

    def _create_payout(self, acme: str) -> dict[str, Any]:
        self._terminal.step("acme asks for a payout, with an Idempotency-Key")
        response = self._post(acme, _FIRST, key="test-payout")
        self._expect("status code", response.status_code, 201)
        payout: dict[str, Any] = response.json()
        self._expect("what was asked for", {name: payout[name] for name in _FIRST}, _FIRST)
        self._expect("status", payout["status"], "pending")
        self._expect("mode", payout["mode"], "test")
        self._expect("Location", response.headers.get("Location"), f"{_PAYOUTS}{payout['id']}/")
        self._terminal.passed("accepted: it is in PostgreSQL, whatever happens to anything else")
        return payout

    def _repeat(self, acme: str, payout: dict[str, Any]) -> None:
        self._terminal.step("The same request again, as after a timeout")
        response = self._post(acme, _FIRST, key="test-payout")
        self._expect("status code", response.status_code, 201)
        self._expect("Idempotent-Replayed", response.headers.get("Idempotent-Replayed"), "true")
        self._expect("the answer", response.json(), payout)
        self._expect("the number of payouts", len(self._get(acme, _PAYOUTS, show=False).json()["results"]), 1)
        self._terminal.passed("the stored answer was replayed; there is one payout")

    def _reuse_key(self, acme: str) -> None:
        self._terminal.step("The same key with another amount")
        response = self._post(acme, {**_FIRST, "amount": "1050.00"}, key="test-payout")
        self._expect("status code", response.status_code, 422)
        self._expect("content type", response.headers.get("Content-Type"), "application/problem+json")
        self._expect("the number of payouts", len(self._get(acme, _PAYOUTS, show=False).json()["results"]), 1)
        self._terminal.passed("refused; nothing was created")

    def _ask_as_stranger(self, globex: str, payout: dict[str, Any]) -> None:
        self._terminal.step("globex asks for acme's payout")
        self._get(globex, f"{_PAYOUTS}{payout['id']}/", status_code=404)
        self._expect("globex's own list", self._get(globex, _PAYOUTS, show=False).json()["results"], [])
        self._terminal.passed("for globex it does not exist")

    def _await_paid(self, acme: str, payout: dict[str, Any]) -> None:
        self._terminal.step("Wait until the payout is paid")
        path = f"{_PAYOUTS}{payout['id']}/"
        self._await(lambda: self._get(acme, path, show=False).json()["status"] == "paid", what="the payout is paid")
        self._expect("status", self._get(acme, path).json()["status"], "paid")
        history = self._get(acme, f"{path}history/").json()
        steps = [transition["to_status"] for transition in history["transitions"]]
        self._expect("its transitions", steps, ["pending", "processing", "paid"])
        self._expect("the number of attempts", len(history["attempts"]), 1)
        self._terminal.passed("paid by the worker, in one attempt, with its history on record")

    def _send(self, acme: str, body: dict[str, Any], *, key: str) -> str:
        self._terminal.step(f"Another payout: {body['recipient_details']['name']}, {body['amount']} {body['currency']}")
        response = self._post(acme, body, key=key)
        self._expect("status code", response.status_code, 201)
        payout = response.json()
        path = f"{_PAYOUTS}{payout['id']}/"
        self._await(
            lambda: self._get(acme, path, show=False).json()["status"] in ("paid", "failed"), what=f"{key} is final"
        )
        final = self._get(acme, path, show=False).json()
        expected = ("failed", "account_closed") if body is _REJECTED else ("paid", "")
        self._expect("status and failure code", (final["status"], final["failure_code"] or ""), expected)
        self._terminal.passed(f"{final['status']} {final['failure_code'] or ''}".strip())
        return str(payout["id"])

    def _list(self, acme: str, *, newest: list[str], second: str) -> None:
        self._terminal.step("List: newest first, two on a page")
        page = self._get(acme, f"{_PAYOUTS}?page_size=2").json()
        self._expect("the first page", [payout["reference"] for payout in page["results"]], newest[:2])
        self._expect("the second payout", page["results"][1]["id"], second)
        rest = self._get(acme, page["next"], show=False).json()
        self._expect("the second page", [payout["reference"] for payout in rest["results"]], newest[2:])
        self._expect("the page after it", rest["next"], None)
        self._terminal.passed("three payouts on two pages, none twice, none missing")

    def _filter(self, acme: str) -> None:
        self._terminal.step("Filter: what was paid, 15 EUR or more")
        page = self._get(acme, f"{_PAYOUTS}?status=paid&currency=EUR&amount_min=15").json()
        self._expect("the references", [payout["reference"] for payout in page["results"]], ["invoice-1002"])
        self._terminal.passed("one payout")

    def _sum(self, acme: str) -> None:
        self._terminal.step("Sum by status and currency")
        rows = self._get(acme, f"{_PAYOUTS}summary/").json()["results"]
        figures = [(row["status"], row["currency"], row["count"], row["amount"]) for row in rows]
        expected = [("failed", "USD", 1, "99.99"), ("paid", "EUR", 1, "20.00"), ("paid", "USD", 1, "100.00")]
        self._expect("the sums", figures, expected)
        self._terminal.passed("20.00 EUR and 100.00 USD paid, 99.99 USD failed")

    def _pay_live(self) -> None:
        self._terminal.step("A live payout: the bank takes it first, and tells later that it has paid")
        acme = self._manage("issue_api_key", "acme", "--mode", "live")
        response = self._post(acme, _LIVE, key="invoice-1004")
        self._expect("status code", response.status_code, 201)
        payout = response.json()
        self._expect("mode", payout["mode"], "live")
        path = f"{_PAYOUTS}{payout['id']}/"
        self._await(lambda: self._was_told(acme, path, "paid"), what="the bank has told that it paid")
        self._expect("status", self._get(acme, path).json()["status"], "paid")
        history = self._get(acme, f"{path}history/").json()
        steps = [transition["to_status"] for transition in history["transitions"]]
        self._expect("its transitions", steps, ["pending", "processing", "submitted", "paid"])
        self._terminal.passed("submitted, then paid: the bank told so in a signed callback")

    def _was_told(self, acme: str, path: str, outcome: str) -> bool:
        """Say whether a callback with this outcome is on record."""
        attempts = self._get(acme, f"{path}history/", show=False).json()["attempts"]
        return ("callback", outcome) in {(attempt["kind"], attempt["outcome"]) for attempt in attempts}

    def _manage(self, *arguments: str) -> str:
        """Run a management command as an operator does, and return its standard output."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            env=dict(self._environment),
            cwd=children.CHECKOUT,
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMMAND_SECONDS,
        )
        printed = done.stdout.strip()
        self._terminal.command([".venv/bin/python", "manage.py", *arguments], printed or done.stderr.strip())
        self._expect(f"exit code of {arguments[0]}", done.returncode, 0)
        return printed

    def _post(self, key_of_merchant: str, body: dict[str, Any], *, key: str) -> httpx.Response:
        headers = {"Authorization": f"Api-Key {key_of_merchant}", "Idempotency-Key": key}
        response = self._http.post(_PAYOUTS, json=body, headers=headers)
        self._terminal.exchange(response)
        return response

    def _get(self, key_of_merchant: str, path: str, *, show: bool = True, status_code: int = 200) -> httpx.Response:
        self._check()
        response = self._http.get(path, headers={"Authorization": f"Api-Key {key_of_merchant}"})
        if show or response.status_code != status_code:
            self._terminal.exchange(response)
        self._expect("status code", response.status_code, status_code)
        return response

    def _await(self, condition: Callable[[], bool], *, what: str) -> None:
        deadline = time.monotonic() + _PAID_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise UnexpectedAnswerError(f"after {_PAID_SECONDS:.0f} s it is still not so that {what}")
            time.sleep(_POLL_SECONDS)

    @staticmethod
    def _expect(what: str, actual: object, expected: object) -> None:
        if actual != expected:
            raise UnexpectedAnswerError(f"{what} should be {expected!r} and is {actual!r}")
