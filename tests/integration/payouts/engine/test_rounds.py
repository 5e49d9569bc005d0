"""Work in bulk: who is served, how many at once, in how many statements."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from accounts import services as accounts_services
from accounts.models import MerchantAPIKey, Mode
from payouts.engine import claims, lanes, pauses, processing, rounds
from payouts.engine.evidence import Evidence
from payouts.engine.lanes import Group
from payouts.models import Payout, PayoutAttempt, PayoutTransition
from payouts.providers import base
from payouts.states import AttemptKind, AttemptOutcome
from tests.support import database, fake_provider, racing
from tests.support.fake_provider import FakeProvider

MakePayout = Callable[..., Payout]

LIVE_SENDS = Group(AttemptKind.SEND, "fake", "live")


def key_of(name: str) -> MerchantAPIKey:
    merchant = accounts_services.create_merchant(name)
    return accounts_services.issue_api_key(merchant, name="live", mode=Mode.LIVE)[0]


@pytest.fixture(autouse=True)
def _begin_at_the_first_lane() -> None:
    claims._served.clear()


@pytest.mark.django_db
class TestRun:
    def test_processes_what_is_due(self, provider: FakeProvider, make_live_payout: MakePayout) -> None:
        payouts = [make_live_payout() for _ in range(40)]

        done = rounds.run()

        assert (done.calls, done.has_more) == (40, False)
        assert {tuple(database.statuses(payout)) for payout in payouts} == {("pending", "processing", "paid")}
        assert {tuple(database.attempts(payout)) for payout in payouts} == {((1, "send", "paid", ""),)}
        sent = sorted(call.instruction.reference for call in provider.calls)
        assert sent == sorted(payout.provider_key for payout in payouts)

    def test_records_each_answer_with_its_payout(self, provider: FakeProvider, make_live_payout: MakePayout) -> None:
        answers: dict[str, base.Report | base.ProviderError] = {
            "paid": fake_provider.PAID,
            "submitted": fake_provider.ACCEPTED,
            "failed": fake_provider.REJECTED,
            "unknown": fake_provider.UNKNOWN,
            "pending": fake_provider.UNAVAILABLE,
            "returned": fake_provider.RETURNED,
        }

        def send(instruction: base.Instruction) -> base.Report:
            assert isinstance(instruction.recipient_details, dict)
            answer = answers[instruction.recipient_details["account"]]
            if isinstance(answer, base.ProviderError):
                raise answer
            return answer

        provider.on_send(send)
        payouts = {status: make_live_payout(account=status) for status in answers}

        rounds.run()

        for status, payout in payouts.items():
            payout.refresh_from_db()
            assert (payout.status, payout.lease_token) == (status, None)
        assert (payouts["failed"].failure_code, payouts["failed"].due_at) == ("invalid_account", None)
        assert payouts["paid"].provider_reference == "fake-1"
        assert payouts["pending"].first_sent_at is None
        # Two changes that one answer implies.
        assert database.statuses(payouts["returned"]) == ["pending", "processing", "paid", "returned"]

    def test_asks_and_sends_again_what_the_provider_does_not_know(
        self, provider: FakeProvider, live_payout: Payout
    ) -> None:
        provider.on_send(fake_provider.UNKNOWN, fake_provider.PAID)
        provider.on_ask(fake_provider.NOT_FOUND)
        processing.process(live_payout.pk)
        database.make_due(live_payout)

        rounds.run()

        assert provider.kinds == ["send", "ask", "send"]
        assert database.statuses(live_payout)[-1] == "paid"

    def test_is_shared_by_processes(self, provider: FakeProvider, make_live_payout: MakePayout) -> None:
        payouts = [make_live_payout() for _ in range(30)]

        first, second = rounds.run(), rounds.run()

        assert (first.calls, second.calls) == (30, 0)
        assert len(provider.calls) == len(payouts)

    def test_claims_nothing_once_it_is_told_to_stop(
        self, provider: FakeProvider, make_live_payout: MakePayout, settings: Any
    ) -> None:
        settings.WORKER_CALLS = 4
        for _ in range(12):
            make_live_payout()

        done = rounds.run(is_stopping=lambda: bool(provider.calls))

        # What was in hand is finished.
        assert (done.calls, done.has_more) == (4, True)
        assert Payout.objects.filter(status="paid").count() == 4
        assert Payout.objects.filter(status="pending", attempts_count=0).count() == 8

    @pytest.mark.parametrize(("count", "calls"), [(3, 0), (4, 1), (20, 1)])
    def test_tells_once_of_more_than_it_can_call_at_once(
        self, provider: FakeProvider, make_live_payout: MakePayout, settings: Any, count: int, calls: int
    ) -> None:
        settings.WORKER_CALLS = 4
        for _ in range(count):
            make_live_payout()
        told: list[int] = []

        rounds.run(on_backlog=lambda: told.append(1))

        assert len(told) == calls
        assert Payout.objects.filter(status="paid").count() == count

    def test_leaves_the_rest_when_its_time_is_over(self, provider: FakeProvider, live_payout: Payout) -> None:
        done = rounds.run(claim_seconds=-1.0)

        assert done.calls == 0
        assert provider.calls == []


@pytest.mark.django_db
class TestStatements:
    """A fixed, small number, however many payouts."""

    @pytest.mark.parametrize("count", [1, 16])
    def test_of_a_claim_are_four(self, provider: FakeProvider, make_live_payout: MakePayout, count: int) -> None:
        provider.promise(concurrency_max=100)
        for _ in range(count):
            make_live_payout()

        with CaptureQueriesContext(connection) as queries:
            claimed = claims.claim_due(LIVE_SENDS, places=16)

        assert len(claimed.claims) == count
        # A savepoint stands for the transaction here.
        assert [_verb(query) for query in queries] == ["SAVEPOINT", "SELECT", "WITH", "RELEASE"]

    @pytest.mark.parametrize("count", [1, 16])
    def test_of_a_record_are_four(self, provider: FakeProvider, make_live_payout: MakePayout, count: int) -> None:
        asked = [make_live_payout() for _ in range(count)]
        provider.on_send(fake_provider.ACCEPTED)
        rounds.run()
        for payout in (*asked, *(make_live_payout() for _ in range(count))):
            database.make_due(payout)
        sends = claims.claim_due(LIVE_SENDS, places=16).claims
        asks = claims.claim_due(Group(AttemptKind.ASK, "fake", "live"), places=16).claims
        provider.on_ask(fake_provider.ACCEPTED)
        answers = [(claim, processing.call(claim)) for claim in (*sends, *asks)]

        with CaptureQueriesContext(connection) as queries:
            processing.record(answers)

        assert len(answers) == 2 * count
        assert [_verb(query) for query in queries] == ["SAVEPOINT", "WITH", "WITH", "RELEASE"]
        assert not PayoutAttempt.objects.filter(outcome="").exists()


def _verb(query: dict[str, str]) -> str:
    return query["sql"].split()[0]


@pytest.mark.django_db
class TestLanes:
    def test_go_round_the_merchants(self, provider: FakeProvider, make_payout: MakePayout) -> None:
        """A merchant with many waiting payouts costs another one place in the round."""
        crowd = key_of("crowd")
        for _ in range(50):
            make_payout(api_key=crowd)
        others = [key_of(f"other {number}") for number in range(5)]
        for key in others:
            make_payout(api_key=key)

        claimed = claims.claim_due(LIVE_SENDS, places=12).claims

        of_merchants = Counter(claim.payout.merchant_id for claim in claimed)
        assert {key.merchant_id for key in others} < set(of_merchants)
        assert of_merchants[crowd.merchant_id] == 2

    def test_begin_behind_the_one_that_was_served_last(self, provider: FakeProvider, make_payout: MakePayout) -> None:
        keys = [key_of(f"merchant {number}") for number in range(3)]
        for key in keys:
            for _ in range(3):
                make_payout(api_key=key)

        served = [claims.claim_due(LIVE_SENDS, places=1).claims[0].payout.merchant_id for _ in range(6)]

        assert served == sorted(key.merchant_id for key in keys) * 2

    def test_share_the_places_that_the_provider_has(self, provider: FakeProvider, make_payout: MakePayout) -> None:
        """A provider that takes fewer calls than a worker could make serves the merchants in turn all the same."""
        provider.capabilities = replace(provider.capabilities, concurrency_max=2)
        keys = [key_of(f"merchant {number}") for number in range(3)]
        for key in keys:
            for _ in range(4):
                make_payout(api_key=key)

        served = []
        for _ in range(3):
            claimed = claims.claim_due(LIVE_SENDS, places=16).claims
            processing.record([(claim, Evidence(AttemptOutcome.PAID)) for claim in claimed])
            served.append({claim.payout.merchant_id for claim in claimed})

        first, second, third = sorted(key.merchant_id for key in keys)
        assert served == [{first, second}, {third, first}, {second, third}]

    def test_give_the_longest_due_first(self, provider: FakeProvider, make_live_payout: MakePayout) -> None:
        payouts = [make_live_payout() for _ in range(3)]
        for payout, seconds in zip(payouts, (10, 30, 20), strict=True):
            database.make_due(payout, seconds=seconds)

        claimed = [claims.claim_due(LIVE_SENDS, places=1).claims[0].payout for _ in range(3)]

        assert claimed == [payouts[1], payouts[2], payouts[0]]

    def test_that_are_paused_are_left_out(self, provider: FakeProvider, make_payout: MakePayout) -> None:
        paused, free = key_of("paused"), key_of("free")
        for key in (paused, free):
            make_payout(api_key=key)
        pauses.pause(pauses.Scope(merchant=paused.merchant), actor="operator:ada", reason="maintenance")

        rounds.run()

        assert {payout.merchant_id for payout in Payout.objects.filter(status="paid")} == {free.merchant_id}

    def test_say_which_groups_there_are(self, provider: FakeProvider, live_payout: Payout, make_payout: Any) -> None:
        make_payout()
        strange = make_payout()
        Payout.objects.filter(pk=strange.pk).update(provider="coming")

        groups = lanes.waiting_groups()

        assert groups == [LIVE_SENDS, Group(AttemptKind.SEND, "sandbox", "test")]


@pytest.mark.django_db
def test_an_answer_that_cannot_be_written_does_not_keep_the_others(
    provider: FakeProvider, make_live_payout: MakePayout, caplog: pytest.LogCaptureFixture
) -> None:
    """It is a defect of ours. That payout's lease runs out, and the provider is asked."""
    bad, good = make_live_payout(), make_live_payout()
    claimed = claims.claim_due(LIVE_SENDS, places=2).claims
    found = {bad.pk: Evidence(AttemptOutcome.PAID, code=b"no text"), good.pk: Evidence(AttemptOutcome.PAID)}  # type: ignore[arg-type]

    with pytest.raises(TypeError):
        processing.record([(claim, found[claim.payout.pk]) for claim in claimed])

    assert [database.statuses(payout)[-1] for payout in (bad, good)] == ["processing", "paid"]
    # A second try would fail as well.
    assert caplog.messages.count("payout.settle.failed") == 1


@pytest.mark.django_db
class TestPlaces:
    @pytest.fixture
    def most(self, provider: FakeProvider) -> Callable[[str], int]:
        """Count the calls of each kind that are under way at once."""
        lock, now, most = threading.Lock(), Counter[str](), Counter[str]()

        def count(kind: str) -> Callable[[base.Instruction], base.Report]:
            def call(instruction: base.Instruction) -> base.Report:
                with lock:
                    now[kind] += 1
                    most[kind] = max(most[kind], now[kind])
                time.sleep(0.05)
                with lock:
                    now[kind] -= 1
                return fake_provider.PAID

            return call

        provider.on_send(count("send"))
        provider.on_ask(count("ask"))
        return lambda kind: most[kind]

    def test_are_as_many_as_are_set(
        self, most: Callable[[str], int], make_live_payout: MakePayout, settings: Any
    ) -> None:
        settings.WORKER_CALLS = 3
        for _ in range(9):
            make_live_payout()

        rounds.run()

        assert most("send") == 3
        assert Payout.objects.filter(status="paid").count() == 9

    def test_of_questions_are_a_quarter(
        self, most: Callable[[str], int], make_live_payout: MakePayout, settings: Any
    ) -> None:
        settings.WORKER_CALLS = 8
        ids = [make_live_payout().pk for _ in range(8)]
        Payout.objects.filter(pk__in=ids).update(status="processing")
        Payout.objects.filter(pk__in=ids).update(status="submitted", due_at=Now() - timedelta(seconds=1))

        rounds.run()

        assert most("ask") == 2
        assert Payout.objects.filter(status="paid").count() == 8

    def test_of_test_mode_leave_room_for_live(
        self, provider: FakeProvider, make_payout: MakePayout, make_live_payout: MakePayout, settings: Any
    ) -> None:
        settings.WORKER_CALLS = 4
        for _ in range(6):
            make_payout(account="sandbox_slow")
        live = make_live_payout()
        Payout.objects.filter(pk=live.pk).update(due_at=Now() + timedelta(seconds=0.3))

        rounds.run(claim_seconds=1.0)

        # Three slow ones were under way, and a place was free, when the live payout became due.
        assert database.statuses(live)[-1] == "paid"
        assert Payout.objects.filter(mode="test", status="paid").count() == 3
        ends = Payout.objects.filter(status="paid").order_by("completed_at").values_list("mode", flat=True)
        assert list(ends) == ["live", "test", "test", "test"]


@pytest.mark.django_db(transaction=True)
class TestRaces:
    def test_each_payout_is_sent_once(self, provider: FakeProvider, make_live_payout: MakePayout) -> None:
        payouts = [make_live_payout() for _ in range(60)]

        results = racing.run_together(*[rounds.run] * 4)

        assert sum(done.calls for done in results) == 60
        sent = sorted(call.instruction.reference for call in provider.calls)
        assert sent == sorted(payout.provider_key for payout in payouts)
        assert PayoutTransition.objects.filter(to_status="paid").count() == 60

    def test_no_transaction_is_open_while_the_provider_is_called(
        self, provider: FakeProvider, make_live_payout: MakePayout
    ) -> None:
        seen: list[tuple[str, int]] = []

        def look() -> None:
            payout = Payout.objects.get()
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND state LIKE 'idle in transaction%%'"
                )
                seen.append((payout.status, cursor.fetchone()[0]))

        def send(instruction: base.Instruction) -> base.Report:
            racing.run_together(look)
            return fake_provider.PAID

        provider.on_send(send)
        make_live_payout()

        rounds.run()

        assert seen == [("processing", 0)]
