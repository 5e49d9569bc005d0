from __future__ import annotations

import re

import httpx
from playwright.sync_api import Page

from tests.e2e import browser
from tests.e2e.stack import Stack


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
