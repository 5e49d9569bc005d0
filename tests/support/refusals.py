"""A payout that must not be created."""

from __future__ import annotations

from typing import Any

from django.test import Client

from tests.support import answers, factories


def refuse(client: Client, body: Any) -> list[tuple[str, str]]:
    """Send the body with a key and without; return the errors of the answer, which must be the same for both."""
    responses = [factories.post_payout(client, body, key=key) for key in ("first", None)]
    assert [answers.code(response) for response in responses] == [(400, "invalid_request")] * 2
    assert answers.rows_written() == answers.NOTHING
    found = [answers.field_errors(response) for response in responses]
    assert found[0] == found[1]
    return found[0]
