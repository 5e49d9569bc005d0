"""Clients, workers, the purge and a failing database do what they like in any order, and a plain model is always right.

The machine holds each answer against the model, and after each step the database. Every example has merchants of its
own, so nothing is cleaned up between two of them. A failure prints a blob: `@reproduce_failure(...)` above the machine.
"""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from accounts import services as accounts_services
from accounts.models import Merchant
from idempotency.models import IdempotencyRecord
from idempotency.retention import purge_responses
from payouts import errors, operators
from payouts.engine import processing
from payouts.models import Payout, PayoutTransition
from tests.chaos import database_proxy
from tests.chaos.model import (
    BODIES,
    NOT_FOUND,
    REUSED,
    ROUTES,
    SPELLINGS,
    Asked,
    ModelPayout,
    Row,
    Tenant,
    Used,
    payout_row,
    record_row,
)
from tests.support import answers

# The statement after which the request's own connection is ended. What creates a payout writes all in one.
MOMENTS = {"claimed": "INSERT INTO idempotency_", "completed": 'UPDATE "idempotency_'}
CREATED = "WITH claimed AS"


@dataclass(frozen=True)
class Sending:
    tenant: Tenant
    asked: Asked
    key: str | None
    #: What makes no difference: how the header is written, the order of the fields, which API key is shown.
    header: str | None
    is_sorted: bool
    api_key: int

    @property
    def used(self) -> Used | None:
        return self.tenant.used.get(self.key) if self.key is not None else None

    @property
    def refusal(self) -> tuple[int, str] | None:
        """How it is refused for itself, whatever its key was used for."""
        return self.tenant.refusal(self.asked)

    @property
    def is_to_be_done(self) -> bool:
        return self.used is None and self.refusal is None


def of_machine(choices: Callable[[Any], list[Any]]) -> st.SearchStrategy[Any]:
    """Draw one of what the running machine has at this point."""
    return st.runner().flatmap(lambda machine: st.sampled_from(choices(machine)))


TENANTS = of_machine(lambda machine: machine.tenants)
PAYOUTS = of_machine(lambda machine: machine.known_payouts())
RETRYABLE = of_machine(lambda machine: machine.failed_payouts() or machine.known_payouts())
KEYS = st.sampled_from(list(SPELLINGS))


@st.composite
def sendings(draw: st.DrawFn, keys: st.SearchStrategy[Any] = KEYS) -> Sending:
    """Draw a request: every second one with a key that was used, where there is one."""
    used_keys = draw(st.runner()).used_keys()
    if used_keys and draw(st.booleans()):
        tenant, key = draw(st.sampled_from(used_keys))
        asked = tenant.used[key].asked
        asked = replace(asked, body=draw(st.just(asked.body) | st.sampled_from(BODIES[asked.action])))
    else:
        (tenant, asked), key = draw(new_requests()), draw(keys)
    header = draw(st.sampled_from(SPELLINGS[key])) if key is not None else None
    return Sending(tenant, asked, key, header, draw(st.booleans()), draw(st.integers(0, 1)))


@st.composite
def new_requests(draw: st.DrawFn) -> tuple[Tenant, Asked]:
    """Draw one that creates a payout or is about one, now and then somebody else's."""
    action = draw(st.sampled_from(list(ROUTES) if draw(st.runner()).known_payouts() else ["create"]))
    body = draw(st.sampled_from(BODIES[action]))
    if action == "create":
        return draw(TENANTS), Asked(action, body)
    owner, payout = draw(PAYOUTS)
    return draw(st.just(owner) | st.just(owner) | TENANTS), Asked(action, body, payout.id)


def shown_by(response: Any) -> Row:
    names = ("id", "status", "amount", "comment", "idempotency_key")
    return (*(response.json().get(name) for name in names), response.headers.get("ETag"))


def whole(response: Any) -> Row:
    """Return all of an answer that a replay repeats."""
    headers = [response.headers.get(name) for name in ("Location", "ETag", "Content-Type")]
    return (response.status_code, response.content, *headers)


def is_replay(response: Any) -> bool:
    return bool(response.headers.get("Idempotent-Replayed") == "true")


_numbers = itertools.count()


class Keys(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        number = next(_numbers)
        self.merchants = [accounts_services.create_merchant(f"{name} {number}") for name in ("acme", "globex")]
        self.tenants = [Tenant(merchant, mode) for merchant in self.merchants for mode in ("test", "live")]

    def known_payouts(self) -> list[tuple[Tenant, ModelPayout]]:
        return [(tenant, payout) for tenant in self.tenants for payout in tenant.payouts.values()]

    def failed_payouts(self) -> list[tuple[Tenant, ModelPayout]]:
        return [known for known in self.known_payouts() if known[1].status == "failed"]

    def used_keys(self) -> list[tuple[Tenant, str]]:
        return [(tenant, key) for tenant in self.tenants for key in tenant.used]

    @rule(sending=sendings(KEYS | st.none()))
    def ask(self, sending: Sending) -> None:
        self.check(sending, self.send(sending))

    @precondition(lambda self: self.used_keys())
    @rule(used=of_machine(lambda machine: machine.used_keys()), header=st.integers(0, 1), api_key=st.integers(0, 1))
    def ask_again(self, used: tuple[Tenant, str], header: int, api_key: int) -> None:
        tenant, key = used
        self.ask(Sending(tenant, tenant.used[key].asked, key, SPELLINGS[key][header], bool(header), api_key))

    @rule(sending=sendings())
    def ask_and_miss_the_answer(self, sending: Sending) -> None:
        """Crash after COMMIT: all was done, and the client does not know. The key tells."""
        is_to_be_done = sending.is_to_be_done
        self.send(sending)
        if is_to_be_done:
            told = self.request(sending.tenant, "GET", f"/api/idempotency-keys/{quote(str(sending.key), safe='')}/")
            assert told.status_code == 200
            sending.tenant.carry_out(sending.asked, sending.key, told.json()["resource"]["id"])

    @rule(sending=sendings(), moment=st.sampled_from(list(MOMENTS)))
    def crash(self, sending: Sending, moment: str) -> None:
        """Crash before COMMIT: nothing was done, and the client is told that nobody can be sure."""
        creates = sending.asked.action == "create"
        crash = database_proxy.Crash(CREATED if creates else MOMENTS[moment])
        try:
            with connection.execute_wrapper(crash):
                response = self.send(sending)
        finally:
            connection.close()
        assert crash.has_happened == (sending.is_to_be_done or (moment == "claimed" and not creates))
        if crash.has_happened:
            assert answers.code(response) == (503, "outcome_unknown")
            assert response.headers["Retry-After"] == "1"
            self.look_up(sending.tenant, str(sending.key), is_quoted=False)
        else:
            self.check(sending, response)

    @precondition(lambda self: self.known_payouts())
    @rule(known=PAYOUTS)
    def delete(self, known: tuple[Tenant, ModelPayout]) -> None:
        tenant, payout = known
        response = self.request(tenant, "DELETE", f"/api/payouts/{payout.id}/")
        if payout.is_deleted:
            assert answers.code(response) == NOT_FOUND
        elif payout.status == "paid":
            assert answers.code(response) == (409, "payout_not_deletable")
        else:
            assert response.status_code == 204
            payout.delete()

    @precondition(lambda self: self.known_payouts())
    @rule(known=PAYOUTS)
    def process(self, known: tuple[Tenant, ModelPayout]) -> None:
        _, payout = known
        processing.process(uuid.UUID(payout.id))
        if payout.status == "pending":
            payout.move("processing", payout.ends_as)

    @precondition(lambda self: self.known_payouts())
    @rule(known=RETRYABLE)
    def retry(self, known: tuple[Tenant, ModelPayout]) -> None:
        """An operator has a failed payout sent again: it is the merchant's again, and its keys know it as before."""
        _, payout = known
        row = Payout.objects.get(pk=payout.id)
        try:
            operators.retry_payout(row, actor="operator:ada", reason="the account is open again")
        except (errors.PayoutNotRetryable, errors.PayoutDeletedByMerchant):
            assert payout.status != "failed" or payout.is_deleted
        else:
            assert (payout.status, payout.is_deleted) == ("failed", False)
            payout.move("pending")

    @precondition(lambda self: any(not tenant.used[key].is_purged for tenant, key in self.used_keys()))
    @rule()
    def purge(self) -> None:
        purge_responses(older_than=timedelta(0))
        for tenant, key in self.used_keys():
            tenant.used[key].is_purged = True

    @rule(tenant=TENANTS, key=KEYS, is_quoted=st.booleans())
    def look_up(self, tenant: Tenant, key: str, is_quoted: bool) -> None:  # noqa: FBT001 - drawn by name
        address = quote(SPELLINGS[key][-1].strip() if is_quoted else key, safe="")
        check_told(tenant, key, self.request(tenant, "GET", f"/api/idempotency-keys/{address}/"))
        listed = self.request(tenant, "GET", f"/api/payouts/?idempotency_key={address}").json()["results"]
        created = [payout for payout in tenant.payouts.values() if payout.key == key and not payout.is_deleted]
        assert [payout["id"] for payout in listed] == [payout.id for payout in created]

    def send(self, sending: Sending) -> Any:
        headers = {"Idempotency-Key": sending.header} if sending.header is not None else {}
        body = json.dumps(sending.asked.body, sort_keys=sending.is_sorted)
        client = sending.tenant.clients[sending.api_key]
        asked = (sending.asked.method, sending.asked.path, body, "application/json")
        return self.heard(sending.tenant, client.generic(*asked, headers=headers))

    def request(self, tenant: Tenant, method: str, url: str) -> Any:
        return self.heard(tenant, tenant.clients[0].generic(method, url))

    def heard(self, tenant: Tenant, response: Any) -> Any:
        """Return the answer, in which nothing of anybody else's stands but what the caller itself has said."""
        said = f"{response.content.decode()} {response.headers}"
        others = {payout.id for other, payout in self.known_payouts() if other is not tenant}
        assert {found for found in others if found in said and found not in response.wsgi_request.path} == set()
        return response

    def check(self, sending: Sending, response: Any) -> None:
        """Hold the answer against the model, and have the model do what was done."""
        used = sending.used
        if used is not None and used.asked != sending.asked:
            assert (answers.code(response), is_replay(response)) == (REUSED, False)
        elif used is not None:
            check_repeated(used, response)
        elif sending.refusal is not None:
            assert (answers.code(response), is_replay(response)) == (sending.refusal, False)
        else:
            assert not is_replay(response)
            check_first(sending.tenant.carry_out(sending.asked, sending.key, response.json().get("id")), response)

    @invariant()
    def the_database_holds_what_the_model_does(self) -> None:
        payouts, records = payouts_of(self.merchants), records_of(self.merchants)
        owners = [row[:3] for row in payouts if row[2]]

        assert sorted(owners) == sorted(set(owners)), "A key has more than one payout."
        assert payouts == sorted(payout_row(*known) for known in self.known_payouts())
        assert records == sorted(record_row(t, key, t.used[key]) for t, key in self.used_keys())
        # So each payout was created once.
        assert histories_of(self.merchants) == {
            payout.id: list(itertools.pairwise(["", *payout.statuses])) for _, payout in self.known_payouts()
        }


def check_first(used: Used, response: Any) -> None:
    """Check the answer to the request that was carried out, or a replay of it."""
    assert (response.status_code, shown_by(response)) == (used.status, used.shown)
    assert response.headers.get("Location") == used.location
    used.answer = used.answer or whole(response)
    assert whole(response) == used.answer


def check_repeated(used: Used, response: Any) -> None:
    assert is_replay(response) != (used.is_purged and used.payout.is_deleted)
    if not used.is_purged:
        check_first(used, response)
    elif used.payout.is_deleted:
        assert answers.code(response) == (410, "payout_deleted")
    else:
        assert (response.status_code, shown_by(response)) == (200, used.payout.shown())
        assert response.headers.get("Location") == used.location


def check_told(tenant: Tenant, key: str, response: Any) -> None:
    told, used = response.json(), tenant.used.get(key)
    if used is None:
        assert answers.code(response) == NOT_FOUND
        return
    assert response.status_code == 200
    assert (told["key"], told["mode"], told["response_status"]) == (key, tenant.mode, used.status)
    assert told["request"] == {"method": used.asked.method, "path": used.asked.path}
    assert told["resource"] == {"type": "payout", "id": used.payout.id}
    assert (told["response_purged_at"] is not None) == used.is_purged


def payouts_of(merchants: list[Merchant]) -> list[Row]:
    return sorted(
        (str(p.merchant_id), p.mode, p.idempotency_key or "", str(p.id), p.status, p.version, p.deleted_at is not None)
        for p in Payout.objects.filter(merchant__in=merchants)
    )


def records_of(merchants: list[Merchant]) -> list[Row]:
    return sorted(
        (
            str(r.merchant_id),
            r.mode,
            r.key,
            r.method,
            r.path,
            str(r.resource_id),
            r.response_status,
            r.response_body is None,
        )
        for r in IdempotencyRecord.objects.filter(merchant__in=merchants)
    )


def histories_of(merchants: list[Merchant]) -> dict[str, list[tuple[str, str]]]:
    histories: dict[str, list[tuple[str, str]]] = {}
    for row in PayoutTransition.objects.filter(payout__merchant__in=merchants).order_by("id"):
        histories.setdefault(str(row.payout_id), []).append((row.from_status, row.to_status))
    return histories


EFFORT = hypothesis_settings(
    max_examples=15,
    stateful_step_count=30,
    deadline=None,
    database=None,
    print_blob=True,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow],
)


# A failure is made smaller before it is told.
@pytest.mark.timeout(400)
@pytest.mark.django_db(transaction=True)
def test_keys(settings: Any) -> None:
    settings.LIVE_PROVIDER = "sandbox"

    run_state_machine_as_test(Keys, settings=EFFORT)
