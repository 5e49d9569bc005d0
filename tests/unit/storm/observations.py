"""What is observed after a storm, when all is well."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from tests.storm.observed import (
    Attempt,
    Callback,
    Notice,
    Observed,
    Payout,
    Record,
    Refusal,
    Transfer,
    Transition,
)
from tests.storm.told import Acknowledged, Told

PAID_ID, CANCELED_ID, RETURNED_ID, REFUSED_ID = (f"0193a000-0000-7000-8000-00000000000{n}" for n in range(4))
ALL_IDS = (PAID_ID, CANCELED_ID, RETURNED_ID, REFUSED_ID)
STRANGER_ID = "0193a000-0000-7000-8000-00000000000f"


def told_of(payout_id: str, key: str) -> Acknowledged:
    return Acknowledged("acme", key, payout_id, "10.50", "EUR", "account")


def payout(payout_id: str, key: str, status: str, *, attempts: int) -> Payout:
    return Payout(
        id=payout_id,
        merchant="acme",
        mode="live",
        status=status,
        amount=Decimal("10.500"),
        currency="EUR",
        account="account",
        idempotency_key=key,
        attempts_count=attempts,
        is_leased=False,
        is_due=False,
        is_contradicted=False,
    )


def history(payout_id: str, *statuses: str) -> list[Transition]:
    pairs = zip(("", *statuses), statuses, strict=False)
    return [Transition(payout_id, source, target, "reason") for source, target in pairs]


def transfer(payout_id: str, status: str, *, executions: int = 1) -> Transfer:
    return Transfer(payout_id, Decimal("10.50"), "EUR", status, executions, requests=1)


def attempt(payout_id: str, number: int, kind: str, outcome: str, code: str = "") -> Attempt:
    return Attempt(payout_id, number, kind, outcome, code, started_at=10.0)


def well() -> Observed:
    """Four payouts of acme, as they should be: one is paid, one canceled, one came back, one was refused."""
    told = Told(
        requests=5,
        acknowledged=[told_of(id_, key) for id_, key in zip(ALL_IDS, ("k-0", "k-1", "k-2", "k-3"), strict=True)],
        canceled={CANCELED_ID: ("acme", "k-1-cancel")},
    )
    return Observed(
        told=[told],
        payouts=[
            payout(PAID_ID, "k-0", "paid", attempts=2),
            payout(CANCELED_ID, "k-1", "canceled", attempts=0),
            payout(RETURNED_ID, "k-2", "returned", attempts=3),
            replace(payout(REFUSED_ID, "k-3", "failed", attempts=1), failure_code="account_closed"),
        ],
        transitions=[
            *history(PAID_ID, "pending", "processing", "unknown", "paid"),
            *history(CANCELED_ID, "pending", "canceled"),
            *history(RETURNED_ID, "pending", "processing", "paid", "returned"),
            *history(REFUSED_ID, "pending", "processing", "failed"),
        ],
        attempts=[
            attempt(PAID_ID, 1, "send", "unknown"),
            attempt(PAID_ID, 2, "ask", "paid"),
            attempt(RETURNED_ID, 1, "send", "returned"),
            attempt(RETURNED_ID, 2, "callback", "paid"),
            attempt(RETURNED_ID, 3, "callback", "returned"),
            attempt(REFUSED_ID, 1, "send", "rejected"),
        ],
        records=[
            *(Record("acme", key, id_) for id_, key in zip(ALL_IDS, ("k-0", "k-1", "k-2", "k-3"), strict=True)),
            Record("acme", "k-1-cancel", CANCELED_ID),
        ],
        callbacks=[
            Callback("e-1", is_applied=True, result="applied"),
            Callback("e-2", is_applied=True, result="known"),
        ],
        transfers=[transfer(PAID_ID, "paid"), transfer(RETURNED_ID, "returned")],
        refusals=[Refusal(REFUSED_ID, "account_closed", requests=1)],
        notices=[
            Notice("e-1", RETURNED_ID, "paid", is_taken=True),
            Notice("e-2", RETURNED_ID, "returned", is_taken=True),
            Notice("e-lost", PAID_ID, "paid", is_taken=False),
        ],
        calls_at_once={1_700_000_000: 3},
        executions_count=2,
    )
