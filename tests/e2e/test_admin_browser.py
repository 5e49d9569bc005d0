from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any, Literal

import httpx
import pytest
from playwright.sync_api import Page

from tests.e2e import browser
from tests.support.stack import Stack

ENDS_WITHIN_SECONDS = 20.0

Seen = Literal["visible", "hidden"]


def admin_password(stack: Stack) -> str:
    printed = re.search(r"Password\s+(\S+)", stack.output)
    assert printed, stack.output
    return printed[1]


def log_in(page: Page, password: str) -> None:
    page.goto("/admin/")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("/admin/")


def issue_api_key(page: Page, *, merchant: str, name: str) -> str:
    page.get_by_role("link", name="API keys").first.click()
    page.goto("/admin/accounts/merchantapikey/add/")
    page.locator(".select2-selection").click()
    page.keyboard.type(merchant)
    page.locator(".select2-results__option", has_text=merchant).click()
    page.locator("#id_name").fill(name)
    page.get_by_role("button", name="Save").click()
    return page.locator("#api-key").input_value()


def me(stack: Stack, api_key: str) -> httpx.Response:
    return httpx.get(f"{stack.base_url}/api/me/", headers={"Authorization": f"Api-Key {api_key}"}, trust_env=False)


@dataclass(frozen=True)
class Backend:
    """A merchant's backend, as seen from a test that holds a browser."""

    base_url: str
    headers: dict[str, str]

    def post(self, *, account: str) -> str:
        """Ask for a payout and return its id."""
        body = {"amount": "10.50", "currency": "EUR", "recipient_details": {"name": "Jane Doe", "account": account}}
        created = httpx.post(f"{self.base_url}/api/payouts/", json=body, headers=self.headers, trust_env=False)
        assert created.status_code == 201, created.text
        return str(created.json()["id"])

    def get(self, payout_id: str, path: str = "") -> dict[str, Any]:
        address = f"{self.base_url}/api/payouts/{payout_id}/{path}"
        shown: dict[str, Any] = httpx.get(address, headers=self.headers, trust_env=False).json()
        return shown

    def wait_for(self, payout_id: str, *, status: str) -> dict[str, Any]:
        """Return the payout once it has the status, or as it is when the patience ends."""
        deadline = time.monotonic() + ENDS_WITHIN_SECONDS
        while (payout := self.get(payout_id))["status"] != status and time.monotonic() < deadline:
            time.sleep(0.1)
        return payout


def backend_of(stack: Stack, merchant: str) -> Backend:
    return Backend(stack.base_url, {"Authorization": f"Api-Key {stack.issue_api_key(merchant)}"})


class TestAdmin:
    def test_issues_an_api_key_and_revokes_it(self, stack: Stack) -> None:
        with browser.opened(stack.base_url) as (page, noticed):
            log_in(page, admin_password(stack))
            api_key = issue_api_key(page, merchant="demo", name="web shop")
            accepted = me(stack, api_key)

            # Reloading neither issues another one nor shows this one again.
            page.reload()
            reloaded = page.content()
            page.get_by_role("link", name="Revoke").click()
            page.get_by_role("button", name="Revoke this API key").click()
            page.get_by_text(f"The API key {api_key[:8]} is revoked.").wait_for()
            refused = me(stack, api_key)
            page.goto("/admin/accounts/merchantapikey/?q=web+shop")
            rows = page.locator("#result_list tbody tr").all_inner_texts()

        assert accepted.status_code == 200
        assert accepted.json()["api_key"]["name"] == "web shop"
        assert "web shop" in reloaded
        assert api_key not in reloaded
        assert (refused.status_code, refused.json()["code"]) == (401, "api_key_revoked")
        assert len(rows) == 1
        assert api_key[:8] in rows[0]
        assert "REVOKED" in rows[0].upper()
        assert noticed.everything == []

    def test_shows_a_payout(self, stack: Stack) -> None:
        api_key = stack.issue_api_key("shown in admin")
        payout = {
            "amount": "1250",
            "currency": "JPY",
            "recipient_details": {"name": "Jane Doe", "account": "sandbox_rejected_account_closed"},
            "reference": "INV-in-admin",
        }
        headers = {"Authorization": f"Api-Key {api_key}"}
        created = httpx.post(f"{stack.base_url}/api/payouts/", json=payout, headers=headers, trust_env=False)
        assert created.status_code == 201

        with browser.opened(stack.base_url) as (page, noticed):
            log_in(page, admin_password(stack))
            page.get_by_role("link", name="Payouts", exact=True).last.click()
            page.goto("/admin/payouts/payout/?q=INV-in-admin")
            page.locator("#result_list tbody a").first.click()
            text = page.locator("#content-main").inner_text()

        assert "1250 JPY" in text
        assert "INV-in-admin" in text
        assert "Pending" in text
        assert noticed.everything == []


class TestOperator:
    def test_retries_a_payout_that_failed(self, stack: Stack) -> None:
        backend = backend_of(stack, "retried in admin")
        payout_id = backend.post(account="sandbox_rejected_account_closed")
        assert backend.wait_for(payout_id, status="failed")["status"] == "failed"

        with browser.opened(stack.base_url) as (page, noticed):
            log_in(page, admin_password(stack))
            page.goto(f"/admin/payouts/payout/{payout_id}/change/")
            page.get_by_role("link", name="Retry").click()
            warning = page.locator("#content").inner_text()
            page.get_by_label("Reason").fill("The merchant wants it: mail of 12 May")
            page.get_by_role("button", name="Retry").click()
            page.get_by_text("The payout is pending again").wait_for()

        # The account is still closed: refused once more, under a reference of its own.
        backend.wait_for(payout_id, status="failed")
        history = backend.get(payout_id, "history/")
        retried = [row for row in history["transitions"] if row["from_status"] == "failed"]
        assert "Ask the merchant first." in warning
        assert [(row["actor"], row["reason"]) for row in retried] == [
            ("operator:admin", "The merchant wants it: mail of 12 May")
        ]
        assert [attempt["kind"] for attempt in history["attempts"]] == ["send", "operator", "send"]
        assert noticed.everything == []

    def test_pauses_everything_and_resumes(self, stack: Stack, request: pytest.FixtureRequest) -> None:
        # Whatever happens here, the other tests find nothing paused.
        request.addfinalizer(lambda: stack.manage("resume_payouts", "--everything"))
        backend = backend_of(stack, "paused in admin")

        with browser.opened(stack.base_url) as (page, noticed):
            log_in(page, admin_password(stack))
            page.goto("/admin/payouts/pause/add/")
            page.get_by_label("Everything").check()
            page.get_by_label("Reason").fill("Strange figures in the statement")
            page.get_by_role("button", name="Pause", exact=True).click()
            page.get_by_text("Paused: everything.").wait_for()

            payout_id = backend.post(account="sandbox_paid")
            waiting = backend.get(payout_id)
            page.goto(f"/admin/payouts/payout/{payout_id}/change/")
            banner = page.locator("#waiting").inner_text()

            page.goto("/admin/payouts/pause/")
            page.get_by_role("row", name="Strange figures").get_by_role("link", name="Resume").click()
            page.get_by_role("button", name="Resume").click()
            page.get_by_text("Resumed: everything.").wait_for()

        assert (waiting["status"], waiting["waiting_reason"]) == ("pending", "payouts_paused")
        assert "This payout waits: all payouts are paused" in banner
        assert "by operator:admin: Strange figures in the statement" in banner
        assert backend.wait_for(payout_id, status="paid")["status"] == "paid"
        assert noticed.everything == []

    def test_asks_for_no_more_than_what_is_to_be_paused(self, stack: Stack) -> None:
        # What is chosen: is there a field for the provider, and one for the merchant?
        table: dict[str, tuple[Seen, Seen]] = {
            "One provider": ("visible", "hidden"),
            "One merchant": ("hidden", "visible"),
            "Everything": ("hidden", "hidden"),
        }

        with browser.opened(stack.base_url) as (page, noticed):
            log_in(page, admin_password(stack))
            page.goto("/admin/payouts/pause/add/")
            wait_for_fields(page, provider="hidden", merchant="hidden")
            for scope, (provider, merchant) in table.items():
                page.get_by_label(scope).check()
                wait_for_fields(page, provider=provider, merchant=merchant)

        assert noticed.everything == []


def wait_for_fields(page: Page, *, provider: Seen, merchant: Seen) -> None:
    page.locator("#id_provider").wait_for(state=provider)
    page.locator(".select2-selection").wait_for(state=merchant)
