"""What the state machine believes: merchants, their keys and their payouts, as plain objects without a database."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

from accounts import services as accounts_services
from accounts.models import Merchant
from tests.support import factories

# Each key with the ways in which the header may be written.
SPELLINGS = {
    "k-1": ("k-1", '"k-1"'),
    "order/7": ("order/7", '"order/7"'),
    'two words, "quoted"': (r'"two words, \"quoted\""', r' "two words, \"quoted\"" '),
}

# The requests that take a key, and what is sent with each.
ROUTES = {
    "create": ("POST", "/api/payouts/"),
    "change": ("PATCH", "/api/payouts/{}/"),
    "cancel": ("POST", "/api/payouts/{}/cancel/"),
}
REJECTED_ACCOUNT = "sandbox_rejected_account_closed"
NONSENSE = {"nonsense": "refused whatever else is asked for"}
BODIES: dict[str, list[dict[str, Any]]] = {
    "create": [
        factories.payout_body(),
        # The same amount, written otherwise: another request.
        factories.payout_body(amount="10.5"),
        factories.payout_body(account=REJECTED_ACCOUNT, comment="old"),
        # The same account, sent as a text: another request.
        factories.payout_body(recipient_details=REJECTED_ACCOUNT, comment="old"),
        factories.payout_body(**NONSENSE),
    ],
    "change": [{"comment": "new"}, {"amount": "12.00"}, {"amount": "12"}, NONSENSE],
    "cancel": [{}, NONSENSE],
}

NOT_FOUND = (404, "not_found")
INVALID = (400, "invalid_request")
REUSED = (422, "idempotency_key_reused")

Row = tuple[Any, ...]


@dataclass
class ModelPayout:
    id: str
    key: str | None
    ends_as: str
    amount: Decimal
    comment: str
    statuses: list[str] = field(default_factory=lambda: ["pending"])
    version: int = 1
    is_deleted: bool = False

    @property
    def status(self) -> str:
        return self.statuses[-1]

    def move(self, *statuses: str) -> None:
        self.statuses += statuses
        self.version += len(statuses)

    def cancel(self) -> None:
        if self.status == "pending":
            self.move("canceled")

    def change(self, body: dict[str, str]) -> None:
        before = (self.amount, self.comment)
        self.amount = Decimal(body.get("amount", self.amount))
        self.comment = body.get("comment", self.comment)
        self.version += before != (self.amount, self.comment)

    def delete(self) -> None:
        self.cancel()
        self.is_deleted = True
        self.version += 1

    def shown(self) -> Row:
        """What an answer shows of it, as shown_by() reads it."""
        return (self.id, self.status, f"{self.amount:.2f}", self.comment, self.key, f'"{self.version}"')


@dataclass(frozen=True)
class Asked:
    action: str
    body: dict[str, Any]
    payout_id: str = ""

    @property
    def method(self) -> str:
        return ROUTES[self.action][0]

    @property
    def path(self) -> str:
        return ROUTES[self.action][1].format(self.payout_id)


@dataclass
class Used:
    """What a key was used for."""

    asked: Asked
    payout: ModelPayout
    #: What the answer showed, whether or not somebody has read it.
    shown: Row
    #: The first answer that was read, whole; None: nobody has.
    answer: Row | None = None
    is_purged: bool = False

    @property
    def status(self) -> int:
        return 201 if self.asked.action == "create" else 200

    @property
    def location(self) -> str | None:
        return f"/api/payouts/{self.payout.id}/" if self.asked.action == "create" else None


class Tenant:
    """A merchant in one mode, as the model knows it."""

    def __init__(self, merchant: Merchant, mode: str) -> None:
        self.merchant, self.mode = merchant, mode
        api_key, secret = accounts_services.issue_api_key(merchant, name="test", mode=mode)
        _, successor = accounts_services.rotate_api_key(api_key, overlap=timedelta(hours=1))
        self.clients = (factories.client_with(secret), factories.client_with(successor))
        self.payouts: dict[str, ModelPayout] = {}
        self.used: dict[str, Used] = {}

    def __repr__(self) -> str:
        return f"<{self.merchant.name}, {self.mode}>"

    def refusal(self, asked: Asked) -> tuple[int, str] | None:
        """Return how a request with a free key, or without one, is refused, if it is."""
        payout = self.payouts.get(asked.payout_id)
        if asked.action != "create" and (payout is None or payout.is_deleted):
            return NOT_FOUND
        if "nonsense" in asked.body:
            return INVALID
        if asked.action == "cancel" and payout and payout.status not in {"pending", "canceled"}:
            return (409, "payout_not_cancelable")
        if payout and payout.status != "pending" and Decimal(asked.body.get("amount", payout.amount)) != payout.amount:
            return (409, "payout_not_changeable")
        return None

    def carry_out(self, asked: Asked, key: str | None, payout_id: str) -> Used:
        """Do what was asked for, and keep the key."""
        if asked.action == "create":
            recipient = asked.body["recipient_details"]
            account = recipient if isinstance(recipient, str) else recipient["account"]
            ends_as = "failed" if account == REJECTED_ACCOUNT else "paid"
            amount, comment = Decimal(asked.body["amount"]), asked.body.get("comment", "")
            self.payouts[payout_id] = ModelPayout(payout_id, key, ends_as, amount, comment)
        payout = self.payouts[payout_id]
        if asked.action == "change":
            payout.change(asked.body)
        elif asked.action == "cancel":
            payout.cancel()
        used = Used(asked, payout, payout.shown())
        if key is not None:
            self.used[key] = used
        return used


def payout_row(tenant: Tenant, payout: ModelPayout) -> Row:
    shown = (payout.id, payout.status, payout.version, payout.is_deleted)
    return (str(tenant.merchant.id), tenant.mode, payout.key or "", *shown)


def record_row(tenant: Tenant, key: str, used: Used) -> Row:
    asked = (used.asked.method, used.asked.path, used.payout.id, used.status)
    return (str(tenant.merchant.id), tenant.mode, key, *asked, used.is_purged)
