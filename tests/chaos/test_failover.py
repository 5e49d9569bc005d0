"""The database comes back without its last commits. The invariant: the bank never pays twice for a key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.chaos.crashing_servers import wait_until
from tests.chaos.standby import Standby
from tests.support.backend import body, client_of, wait_for
from tests.support.stack import Stack

KEY = "order-4711"
REASON = "failover: compare with the bank, then resume"

#: The client's retry, as the API would take it, and one step of a worker.
RETRY = f"""
from decimal import Decimal
from accounts.models import MerchantAPIKey
from payouts import services
from payouts.engine import processing
from payouts.models import Payout
payout = Payout.objects.filter(idempotency_key="{KEY}").first() or services.create_payout(
    api_key=MerchantAPIKey.objects.get(mode="live"), idempotency_key="{KEY}", amount=Decimal("10.50"), currency="EUR",
    recipient_details={{"name": "Jane Doe", "account": "DE89370400440532013000"}},
)
processing.process(payout.pk)
payout.refresh_from_db()
print(payout.status, payout.provider_key)
"""

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def stack(make_stack: Callable[..., Stack]) -> Stack:
    started = make_stack(PAYOUTS_WEB_WORKERS="1")
    started.start("--port", "0", "--replica")
    return started


@pytest.fixture
def standby(stack: Stack) -> Iterator[Standby]:
    standby = Standby(stack)
    yield standby
    standby.destroy()


def promote(standby: Standby) -> None:
    standby.follow_nothing()
    standby.start_again()
    wait_until(lambda: answers(standby), what="the standby is up")
    standby.promote()


def restore(standby: Standby) -> None:
    standby.become_a_backup()
    standby.start_again()


def answers(standby: Standby) -> bool:
    try:
        standby.query("SELECT 1")
    except Exception:  # noqa: BLE001 - it is starting
        return False
    return True


def is_primary(standby: Standby) -> bool:
    return answers(standby) and standby.query("SELECT pg_is_in_recovery()") is False


def book(stack: Stack) -> dict[str, Any]:
    """Return the bank's book."""
    url = stack.description["environment"]["PAYOUTS_HTTP_BANK_URL"].removesuffix("/v1")
    found: dict[str, Any] = httpx.get(f"{url}/control/book", timeout=10).json()
    return found


@pytest.mark.parametrize("come_back", [promote, restore])
def test_key_is_paid_once(stack: Stack, standby: Standby, come_back: Callable[[Standby], None]) -> None:
    with client_of(stack, "acme", "--mode", "live") as acme:
        wait_until(
            lambda: standby.query("SELECT count(*) FROM payouts_knownserver") == 1, what="the sweeper knows the server"
        )
        wait_until(
            lambda: standby.query("SELECT count(*) FROM accounts_merchantapikey WHERE mode = 'live'") == 1,
            what="the standby has the key",
        )
        standby.kill()
        # What the standby never gets.
        order = body("DE89370400440532013000")
        created = acme.post("/api/payouts/", json=order, headers={"Idempotency-Key": KEY})
        assert created.status_code == 201
        assert wait_for(acme, created.headers["Location"], "paid")["status"] == "paid"
        (paid,) = book(stack)["transfers"]

    come_back(standby)
    wait_until(lambda: is_primary(standby), what="the copy is a primary")

    there = {**stack.description["environment"], "POSTGRES_PORT": standby.port}
    assert standby.query("SELECT count(*) FROM payouts_payout") == 0
    assert stack.manage("sweep_payouts", "--once", **there).exit_code == 0
    assert REASON in stack.manage("payouts_status", **there).stdout

    held = stack.manage("shell", "-c", RETRY, **there)
    assert held.stdout.splitlines()[-1] == f"pending {paid['reference']}", held

    assert stack.manage("resume_payouts", "--everything", **there).exit_code == 0
    resumed = stack.manage("shell", "-c", RETRY, **there)
    assert resumed.stdout.splitlines()[-1] == f"paid {paid['reference']}", resumed

    (transfer,) = book(stack)["transfers"]
    assert (transfer["id"], transfer["executions"], transfer["requests"]) == (paid["id"], 1, 2)
    # A failover is found once.
    assert stack.manage("sweep_payouts", "--once", **there).exit_code == 0
    assert "  none" in stack.manage("payouts_status", **there).stdout.splitlines()[1]


def test_asynchronous_standby_is_warned_about(stack: Stack) -> None:
    checked = stack.manage("check", "--database", "default")

    assert checked.exit_code == 0
    assert "payouts.W006" in checked.stderr
    # A stack's own database waits for its disk.
    assert "payouts.W007" not in checked.stderr
    assert "payouts.W008" not in checked.stderr
