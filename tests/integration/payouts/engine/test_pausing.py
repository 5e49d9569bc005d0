"""Once a pause has begun nothing of its scope is sent. What is under way ends, and asking goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError
from django.test import Client

from accounts import services as accounts_services
from accounts.models import Merchant
from payouts import errors, services
from payouts.engine import pauses, processing
from payouts.engine.pauses import Scope
from payouts.models import Pause, Payout, PayoutAttempt
from payouts.providers import base
from tests.support import database, factories, fake_provider
from tests.support.fake_provider import FakeProvider

ADA: dict[str, Any] = {"actor": "operator:ada", "reason": "the bank is being moved"}

MakePayout = Callable[..., Payout]


def scope_of(name: str, merchant: Merchant) -> Scope:
    """Return the scope that covers a live payout of this merchant in the way that the name says."""
    return {"everything": Scope(), "merchant": Scope(merchant=merchant), "provider": Scope(provider="fake")}[name]


SCOPES = pytest.mark.parametrize("name", ["everything", "merchant", "provider"])


@pytest.mark.django_db
class TestPause:
    @SCOPES
    def test_holds_back_what_it_covers(
        self, provider: FakeProvider, acme: Merchant, live_payout: Payout, name: str
    ) -> None:
        pauses.pause(scope_of(name, acme), **ADA)
        before = Payout.objects.values().get()

        processing.process(live_payout.pk)

        assert provider.calls == []
        # Not a trace on it: it is pending and due as before.
        assert Payout.objects.values().get() == before
        assert PayoutAttempt.objects.count() == 0

    @SCOPES
    def test_leaves_everything_else_alone(
        self, provider: FakeProvider, acme: Merchant, globex: Merchant, make_payout: MakePayout, name: str
    ) -> None:
        """globex's test payout is of another merchant, and goes through another provider."""
        test_key = accounts_services.issue_api_key(globex, name="test")[0]
        payout = make_payout(api_key=test_key)
        pauses.pause(scope_of(name, acme), **ADA)

        processing.process(payout.pk)

        payout.refresh_from_db()
        assert payout.status == ("pending" if name == "everything" else "paid")

    def test_of_a_merchant_is_of_both_its_modes(
        self, provider: FakeProvider, acme: Merchant, live_payout: Payout, make_payout: MakePayout
    ) -> None:
        test_payout = make_payout()
        pauses.pause(Scope(merchant=acme), **ADA)

        for payout in (live_payout, test_payout):
            processing.process(payout.pk)

        assert set(Payout.objects.values_list("status", flat=True)) == {"pending"}

    @SCOPES
    def test_is_on_record(self, provider: FakeProvider, acme: Merchant, name: str) -> None:
        scope = scope_of(name, acme)

        pauses.pause(scope, actor="operator:ada", reason=" maintenance ")

        begun = Pause.objects.get()
        assert (begun.merchant, begun.provider) == (scope.merchant, scope.provider)
        assert (begun.actor, begun.reason) == ("operator:ada", "maintenance")
        assert (begun.ended_at, begun.ended_by) == (None, "")

    @pytest.mark.parametrize(
        ("reason", "refusal"),
        [
            ("", errors.ReasonMissing),
            (" \n ", errors.ReasonMissing),
            ("r" * 501, errors.ReasonUnusable),
            ("\x00", errors.ReasonUnusable),
        ],
    )
    def test_needs_a_reason(self, db: None, reason: str, refusal: type[Exception]) -> None:
        with pytest.raises(refusal):
            pauses.pause(Scope(), actor="operator:ada", reason=reason)

        assert Pause.objects.count() == 0

    def test_knows_its_providers(self, provider: FakeProvider) -> None:
        with pytest.raises(errors.ProviderNotFound):
            pauses.pause(Scope(provider="fakee"), **ADA)

        assert Pause.objects.count() == 0
        assert pauses.providers() == sorted({*pauses.providers(), "fake", "sandbox"})

    @SCOPES
    def test_begins_once(self, provider: FakeProvider, acme: Merchant, name: str) -> None:
        scope = scope_of(name, acme)
        pauses.pause(scope, **ADA)

        with pytest.raises(errors.PausedAlready):
            pauses.pause(scope, actor="operator:bob", reason="another one")

        assert [pause.actor for pause in Pause.objects.all()] == ["operator:ada"]

    def test_has_one_scope(self, provider: FakeProvider, acme: Merchant) -> None:
        with pytest.raises(IntegrityError, match="pause_has_one_scope"):
            pauses.pause(Scope(merchant=acme, provider="fake"), **ADA)

    def test_is_told(self, caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: Any) -> None:
        with django_capture_on_commit_callbacks(execute=True):
            pauses.pause(Scope(), **ADA)
            pauses.resume(Scope(), actor="operator:bob")

        told = [
            (record.message, record.__dict__.get("scope"), record.__dict__.get("actor")) for record in caplog.records
        ]
        assert told == [
            ("pause.begun", "everything", "operator:ada"),
            ("pause.ended", "everything", "operator:bob"),
        ]


@pytest.mark.django_db
class TestWhatGoesOn:
    def test_asking(self, provider: FakeProvider, live_payout: Payout) -> None:
        provider.on_send(fake_provider.UNKNOWN)
        processing.process(live_payout.pk)
        pauses.pause(Scope(), **ADA)
        database.make_due(live_payout)

        processing.process(live_payout.pk)

        assert provider.kinds == ["send", "ask"]
        assert database.statuses(live_payout)[-1] == "paid"

    def test_not_a_second_send(self, provider: FakeProvider, live_payout: Payout) -> None:
        provider.on_send(fake_provider.UNKNOWN, fake_provider.PAID)
        provider.on_ask(fake_provider.NOT_FOUND)
        processing.process(live_payout.pk)
        pauses.pause(Scope(provider="fake"), **ADA)
        database.make_due(live_payout)

        processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert provider.kinds == ["send", "ask"]
        assert (live_payout.status, live_payout.due_at is not None) == ("unknown", True)
        # It goes out when the pause is over.
        pauses.resume(Scope(provider="fake"), actor="operator:ada")
        database.make_due(live_payout)
        processing.process(live_payout.pk)
        assert provider.kinds == ["send", "ask", "ask", "send"]

    def test_what_is_under_way(self, provider: FakeProvider, live_payout: Payout) -> None:
        def send(instruction: base.Instruction) -> base.Report:
            pauses.pause(Scope(), **ADA)
            return fake_provider.PAID

        provider.on_send(send)

        processing.process(live_payout.pk)

        assert database.statuses(live_payout) == ["pending", "processing", "paid"]

    def test_what_merchants_do(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()
        pauses.pause(Scope(), **ADA)

        created = factories.post_payout(api)
        canceled = services.cancel_payout(payout, actor="merchant:x")

        shown = api.get(created.headers["Location"]).json()["waiting_reason"]
        # The answer that creates a payout reads no pauses.
        assert (created.status_code, created.json()["waiting_reason"], shown) == (201, "", "payouts_paused")
        assert canceled.status == "canceled"


@pytest.mark.django_db
class TestResume:
    @SCOPES
    def test_lets_it_go(self, provider: FakeProvider, acme: Merchant, live_payout: Payout, name: str) -> None:
        scope = scope_of(name, acme)
        pauses.pause(scope, **ADA)

        pauses.resume(scope, actor="operator:bob")
        processing.process(live_payout.pk)

        assert provider.kinds == ["send"]
        ended = Pause.objects.get()
        assert ended.ended_at is not None
        assert (ended.ended_by, ended.actor) == ("operator:bob", "operator:ada")

    @SCOPES
    def test_needs_a_pause_of_exactly_this(self, provider: FakeProvider, acme: Merchant, name: str) -> None:
        scope = scope_of(name, acme)
        for other in ("everything", "merchant", "provider"):
            if other != name:
                pauses.pause(scope_of(other, acme), **ADA)

        with pytest.raises(errors.NotPaused):
            pauses.resume(scope, actor="operator:ada")

        assert Pause.objects.filter(ended_at__isnull=True).count() == 2

    def test_ends_no_other_pause_of_the_same_payouts(
        self, provider: FakeProvider, acme: Merchant, live_payout: Payout
    ) -> None:
        for scope in (Scope(), Scope(merchant=acme), Scope(provider="fake")):
            pauses.pause(scope, **ADA)

        for scope in (Scope(), Scope(merchant=acme)):
            pauses.resume(scope, actor="operator:ada")
            processing.process(live_payout.pk)
            assert provider.calls == []
        pauses.resume(Scope(provider="fake"), actor="operator:ada")
        processing.process(live_payout.pk)

        assert provider.kinds == ["send"]

    def test_leaves_room_for_the_next_pause(self, provider: FakeProvider, live_payout: Payout) -> None:
        for _ in range(2):
            pauses.pause(Scope(), **ADA)
            pauses.resume(Scope(), actor="operator:ada")
        pauses.pause(Scope(), **ADA)

        processing.process(live_payout.pk)

        assert provider.calls == []
        assert Pause.objects.count() == 3

    def test_twice_is_refused(self) -> None:
        pauses.pause(Scope(), **ADA)
        pauses.resume(Scope(), actor="operator:ada")

        with pytest.raises(errors.NotPaused):
            pauses.resume(Scope(), actor="operator:ada")


@pytest.mark.django_db
class TestDrain:
    def test_is_over_when_nothing_is_being_sent(
        self, provider: FakeProvider, acme: Merchant, globex: Merchant, live_payout: Payout
    ) -> None:
        scopes = {
            "everything": Scope(),
            "acme": Scope(merchant=acme),
            "globex": Scope(merchant=globex),
            "fake": Scope(provider="fake"),
            "sandbox": Scope(provider="sandbox"),
        }
        seen: list[dict[str, bool]] = []

        def look(instruction: base.Instruction | None = None) -> base.Report:
            seen.append({name: pauses.is_drained(scope) for name, scope in scopes.items()})
            return fake_provider.PAID

        provider.on_send(look)
        look()
        processing.process(live_payout.pk)
        look()

        drained = dict.fromkeys(scopes, True)
        assert seen == [drained, drained | dict.fromkeys(("everything", "acme", "fake"), False), drained]

    def test_does_not_wait_for_a_dead_worker(self, provider: FakeProvider, live_payout: Payout) -> None:
        provider.on_send(fake_provider.WorkerKilled())
        with pytest.raises(fake_provider.WorkerKilled):
            processing.process(live_payout.pk)
        assert pauses.is_drained(Scope()) is False

        database.expire_lease(live_payout)

        assert pauses.is_drained(Scope()) is True

    def test_does_not_wait_for_questions(self, provider: FakeProvider, live_payout: Payout) -> None:
        seen: list[bool] = []

        def ask(instruction: base.Instruction) -> base.Report:
            seen.append(pauses.is_drained(Scope()))
            return fake_provider.PAID

        provider.on_send(fake_provider.UNKNOWN)
        provider.on_ask(ask)
        processing.process(live_payout.pk)
        database.make_due(live_payout)

        processing.process(live_payout.pk)

        assert seen == [True]


def test_scopes_say_what_they_are(acme: Merchant) -> None:
    scopes = [Scope(), Scope(merchant=acme), Scope(provider="fake")]

    assert [str(scope) for scope in scopes] == ["everything", "merchant acme", "provider fake"]
