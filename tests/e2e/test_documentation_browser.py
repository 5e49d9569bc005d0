"""Swagger UI and Redoc show the whole API on a machine that can reach nothing but the platform."""

from __future__ import annotations

import re

import httpx

from tests.e2e import browser
from tests.support.stack import Stack


def operation_ids(stack: Stack) -> list[str]:
    schema = httpx.get(f"{stack.base_url}/api/schema/", trust_env=False).text
    return re.findall(r"\boperationId\W+(\w+)", schema)


class TestSwaggerUI:
    def test_shows_every_operation(self, stack: Stack) -> None:
        expected = operation_ids(stack)

        with browser.opened(stack.base_url) as (page, noticed):
            page.goto("/api/schema/swagger-ui/")
            page.locator(".opblock").nth(len(expected) - 1).wait_for()
            shown = page.locator(".opblock").count()
            # A closed one is only a line; opened it has to render parameters, examples and answers.
            page.locator(".opblock-post .opblock-summary-control").first.click()
            page.locator(".opblock-post .responses-wrapper").first.wait_for()

        assert len(expected) > 5
        assert shown == len(expected)
        assert noticed.everything == []


class TestRedoc:
    def test_shows_every_operation(self, stack: Stack) -> None:
        expected = operation_ids(stack)

        with browser.opened(stack.base_url) as (page, noticed):
            page.goto("/api/schema/redoc/")
            page.locator(f"[id$='operation/{expected[0]}']").first.wait_for()
            page.wait_for_load_state("networkidle")
            shown = [name for name in expected if page.locator(f"[id$='operation/{name}']").count()]

        assert shown == expected
        assert noticed.everything == []
