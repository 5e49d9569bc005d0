"""What a page of the admin shows, and what it asked the database for."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext


def listed(response: Any) -> list[Any]:
    return [row.pk for row in response.context["cl"].result_list]


def rows_of_inlines(response: Any) -> list[list[Any]]:
    """Return the rows below a payout: its history, attempts and callbacks."""
    inlines = response.context["inline_admin_formsets"]
    return [[form.instance for form in inline.formset.forms] for inline in inlines]


def statements(client: Client, address: str) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address).status_code == 200
    return [query["sql"] for query in captured]
