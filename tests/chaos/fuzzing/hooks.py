"""Loaded by schemathesis in a process of its own: where it may send to, what it starts from, and one more check."""

from __future__ import annotations

import ipaddress
import re
import sys
from typing import Any

import schemathesis

#: Why valid data may be refused: what no schema can say. By status and code, or by field and code for 400.
REASONS = {
    (409, "payout_not_cancelable"),
    (409, "payout_not_changeable"),
    (409, "payout_not_deletable"),
    (409, "payout_exists"),
    (409, "export_not_cancelable"),
    (409, "idempotency_key_in_progress"),
    (410, "payout_deleted"),
    (412, "payout_changed"),
    (416, "range_not_satisfiable"),
    (422, "idempotency_key_reused"),
    (429, "export_storage_full"),
    (429, "files_busy"),
    (429, "too_many_downloads"),
    (429, "too_many_exports"),
    (429, "too_many_reports"),
    # Ids and links that were made up.
    (403, "download_link_invalid"),
    (404, "not_found"),
    (400, "time_zone_unknown"),
    (400, "idempotency_key_missing"),
}
FIELD_REASONS = (
    # ISO 4217 and ISO 3166 are lists that change.
    (r"(filters\.)?currency", "unknown_currency"),
    (r"recipient_details\.country", "unknown_country"),
    # It depends on another field.
    (r"amount", "too_many_decimals"),
    (r"(filters\.)?(amount_min|created_after|updated_after)", "crossed_range"),
    (r"timezone", "needs_group_by_day"),
    (r"bom", "bom_not_allowed"),
    # It depends on the clock.
    (r"expires_at", "time_is_over|time_too_far"),
    # It was not given out by us.
    (r"cursor", "invalid_cursor|cursor_mismatch"),
    # schemathesis 4.32 does not keep to the pattern of these headers, which has quotes in it: it sends 0.
    (r"If-Match|If-None-Match", "if_match_malformed|if_none_match_malformed"),
    # OpenAPI 3.0 has no way to say what the names of an object's fields may be.
    (r"(filters\.)?metadata", "invalid_name|invalid_character|blank"),
    (r"(filters\.)?metadata\[.*\]?", "unknown_parameter|blank|invalid_character"),
    # A pattern has no checksum, and no classes of Unicode that all languages know.
    (r"recipient_details(\..*)?", "card_number_not_allowed|blank"),
    (r"(filters\.)?search", "search_too_short|invalid_character"),
)


def _only_to_this_machine(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = str(arguments[1][0])
        if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            raise PermissionError(f"schemathesis was about to send to {host}")


sys.addaudithook(_only_to_this_machine)


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Make most of the payouts possible: of 17,576 codes of three letters some 160 are currencies.

    A value that is wrong stays as it is.
    """
    del context
    if isinstance(body, dict):
        currency, amount = body.get("currency"), body.get("amount")
        if isinstance(currency, str) and re.fullmatch("[A-Z]{3}", currency) and currency[0] < "V":
            body = {**body, "currency": "EUR"}
        if isinstance(amount, str) and re.fullmatch(r"[1-9][0-9]{0,11}\.[0-9]{3,4}", amount):
            body = {**body, "amount": amount.partition(".")[0]}
    return body


@schemathesis.check
def valid_data_is_accepted(ctx: Any, response: Any, case: Any) -> None:
    """Refuse a refusal of what the document allows, unless it is for one of the reasons above."""
    del ctx
    # A call of another method, or without a header that must be there, is not what was generated.
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code < 400:
        return
    if response.status_code in {401, 405}:
        return
    problem = response.json()
    if (response.status_code, problem["code"]) in REASONS:
        return
    found = [(error["field"], error["code"]) for error in problem.get("errors", [])]
    other = [one for one in found if not _is_a_reason(*one)]
    assert found and not other, f"Valid data was refused: {problem['code']} {other}: {problem['detail']}"  # noqa: PT018


def _is_a_reason(field: str, code: str) -> bool:
    return any(re.fullmatch(fields, field) and re.fullmatch(codes, code) for fields, codes in FIELD_REASONS)
